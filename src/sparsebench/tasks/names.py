"""Made-up names of places and people, pronounceable and endless."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from random import Random

_PLACES = (
    ("Ash", "Bel", "Cor", "Dun", "Elm", "Fal", "Gar", "Hol", "Ing", "Jas", "Kel", "Lor", "Mar", "Nor", "Oak", "Pel"),
    ("a", "al", "an", "e", "en", "er", "i", "il", "in", "o", "on", "or", "u", "ul"),
    (
        "bury",
        "combe",
        "dale",
        "fell",
        "gard",
        "ham",
        "kirk",
        "ley",
        "minster",
        "ness",
        "stow",
        "thorpe",
        "wick",
        "worth",
    ),
)
_PEOPLE = (
    ("Al", "Be", "Ca", "Da", "Fe", "Gi", "Ha", "Jo", "Ka", "Li", "Mi", "Na", "Pe", "Ro", "Sa", "Te", "Vi", "Yo"),
    ("ba", "do", "fi", "ga", "ko", "la", "mi", "no", "pa", "ri", "so", "ta", "vu", "ze"),
    ("bel", "dan", "fra", "go", "kim", "lia", "mar", "nika", "ra", "sten", "tus", "vin", "xa", "zo"),
)


def _names(parts: tuple[tuple[str, ...], ...], draw: Random) -> Iterator[str]:
    every = ["".join(name) for name in product(*parts)]
    draw.shuffle(every)
    yield from every
    # A second word makes as many again, each still once.
    for second in every:
        for first in every:
            yield f"{first} {second}"


def places(draw: Random) -> Iterator[str]:
    """Names of towns, none twice."""
    return _names(_PLACES, draw)


def people(draw: Random) -> Iterator[str]:
    """Names of people, none twice, none like that of a town."""
    return _names(_PEOPLE, draw)
