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
# Parts of two-word names, no word of which is a one-word name.
_STARTS = "Ab Ber Ced Dor Eb Fir Gos Hart Ib Jun Lum Mil Nub Ost Pin Rud Sil Tam Ut Wil"
_MIDDLES = "a e ef i im o ol u ur"
DOUBLE_PLACES = _parts(_STARTS, _MIDDLES, "beck brook croft dell field ford gate hill mere ridge stead water")
DOUBLE_PEOPLE = _parts(_STARTS, _MIDDLES, "bert drum fast gren lam man mund rick ski son ton wald")


def _names(single: tuple[tuple[str, ...], ...], double: tuple[tuple[str, ...], ...], draw: Random) -> Iterator[str]:
    seen: set[str] = set()
    most = prod(len(part) for part in single)
    while True:
        # One-word names run out, as half of them belong to other draws; then names of two words follow.
        words = [single] if len(seen) <= most // 4 else [double, double]
        name = " ".join("".join(draw.choice(part) for part in word) for word in words)
        if name not in seen and belongs(draw, name):
            seen.add(name)
            yield name


def places(draw: Random) -> Iterator[str]:
    """Names of towns, none twice."""
    return _names(PLACES, DOUBLE_PLACES, draw)


def people(draw: Random) -> Iterator[str]:
    """Names of people, none twice, none like that of a town."""
    return _names(PEOPLE, DOUBLE_PEOPLE, draw)
