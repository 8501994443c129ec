"""One colour, dash and shape per method, the same in every chart.

Colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/), safe for the common colour-vision deficiencies, then
Paul Tol's muted set for further methods; shapes repeat the distinction for print. Dense is black, controls are
dashed grey.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sparsebench.stats.configuration import DENSE, is_control


@dataclass(frozen=True)
class Look:
    """How a method is drawn: colour, dash pattern (pixels on, off; [1, 0] is solid), point shape."""

    colour: str
    dash: tuple[int, int] = (1, 0)
    shape: str = "circle"


KNOWN = {
    DENSE: Look("#000000", shape="diamond"),
    "vertical_slash": Look("#0072B2", shape="square"),
    "block_sparse": Look("#E69F00", shape="triangle-up"),
    "flexprefill": Look("#009E73", shape="diamond"),
    "snapkv": Look("#CC79A7", shape="triangle-down"),
    "ada_snapkv": Look("#D55E00", shape="cross"),
    "quest": Look("#56B4E9", shape="circle"),
    "oracle": Look("#555555", (5, 3), "stroke"),
    "random": Look("#A0A0A0", (2, 2), "stroke"),
}
_FURTHER = ("#882255", "#332288", "#999933", "#117733", "#AA4499", "#44AA99", "#661100", "#DDCC77")
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-left", "triangle-right")
_DASHES = ((1, 0), (8, 2), (4, 1))


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """The look of each method: known ones have their own, others take further colours in alphabetical order.

    Give all methods of a study, not those of one chart, so that a method looks the same everywhere. The order is that
    of legends: dense, methods, controls.
    """
    names = sorted(set(methods), key=_legend_place)
    others = [name for name in names if name not in KNOWN and _control(name) is None]
    found = {}
    for name in names:
        if name in KNOWN:
            found[name] = KNOWN[name]
        elif control := _control(name):
            found[name] = KNOWN["oracle" if control.startswith("oracle") else "random"]
        else:
            found[name] = _further(others.index(name))
    return found


def _further(i: int) -> Look:
    """Colours repeat first, each time with other shapes, then shapes, with other dashes."""
    colours, shapes = len(_FURTHER), len(_SHAPES)
    shape = _SHAPES[(i + i // colours) % shapes]
    return Look(_FURTHER[i % colours], _DASHES[i // (colours * shapes) % len(_DASHES)], shape)


def _control(name: str) -> str | None:
    """The control in a label; where both phases are sparse that is ``prefill@sparsity + decode``."""
    parts = (part.partition("@")[0] for part in name.split(" + "))
    return next((part for part in parts if is_control(part)), None)


def _legend_place(name: str) -> tuple[bool, bool, int, str]:
    known = list(KNOWN)
    return (name != DENSE, _control(name) is not None, known.index(name) if name in KNOWN else len(known), name)
