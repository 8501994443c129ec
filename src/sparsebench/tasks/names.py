"""Made-up names of places and people, pronounceable and endless."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from random import Random

from sparsebench.tasks.draw import belongs


def _parts(*listed: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(words.split()) for words in listed)


PLACES = _parts(
    "Arn Ash Bel Cor Dav Esk Fen Dun Elm Fal Gar Hol Ing Jas Kel Lor Mar Nor Oak Pel Quar Rath Sed Tor",
    "a al an e en er i il in o on or u ul",
    "bury combe dale fell gard ham kirk ley minster ness stow thorpe wick worth",
)
PEOPLE = _parts(
    "Al Be Bri Ca Da Ela Fe Gi Ha Jo Ka Li Mi Na Pe Ro Sa Te Uli Vi Wa Yo Zu",
    "ba do fi ga ko la mi no pa ri so ta vu ze",
    "bel dan fra go kim lia mar nika ra sten tus vin xa zo",
)


def _names(parts: tuple[tuple[str, ...], ...], draw: Random) -> Iterator[str]:
    seen: set[str] = set()
    most = prod(len(part) for part in parts)
    while True:
        name = "".join(draw.choice(part) for part in parts)
        # When names run short (half of them belong to other draws), a second word makes as many again.
        if len(seen) > most // 4:
            name += " " + "".join(draw.choice(part) for part in parts)
        if name not in seen and belongs(draw, name):
            seen.add(name)
            yield name


def places(draw: Random) -> Iterator[str]:
    """Names of towns, none twice."""
    return _names(PLACES, draw)


def people(draw: Random) -> Iterator[str]:
    """Names of people, none twice, none like that of a town."""
    return _names(PEOPLE, draw)
