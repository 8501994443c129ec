"""How charts look: one colour, dash and shape per method, everywhere; dense black, controls grey and dashed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import altair as alt

from sparsebench.stats.configuration import DENSE, is_control

FONT = "system-ui, 'Helvetica Neue', Arial, sans-serif"
INK, FAINT = "#1a1a1a", "#d9d9d9"

# Okabe and Ito's colours, told apart with every common colour blindness.
_COLOURS = {
    DENSE: "#000000",
    "vertical_slash": "#0072B2",
    "block_sparse": "#E69F00",
    "flexprefill": "#009E73",
    "snapkv": "#D55E00",
    "ada_snapkv": "#CC79A7",
    "quest": "#56B4E9",
    "oracle": "#6b6b6b",
    "random": "#a3a3a3",
}
_SHAPES = {
    DENSE: "diamond",
    "vertical_slash": "circle",
    "block_sparse": "square",
    "flexprefill": "triangle-up",
    "snapkv": "circle",
    "ada_snapkv": "square",
    "quest": "triangle-up",
    "oracle": "cross",
    "random": "cross",
}
_DASHES = {"oracle": [5, 3], "random": [2, 2]}
# For methods that the palette does not name, in the order of their names (Tol's muted colours).
_OTHER = ("#882255", "#44AA99", "#999933", "#332288", "#AA4499", "#117733")
_OTHER_SHAPES = ("triangle-down", "diamond", "triangle-right", "triangle-left")


def _place(method: str) -> int:
    order = list(_COLOURS)
    return order.index(method) if method in order else len(order) - (3 if not is_control(method) else 0)


def in_order(methods: Iterable[str]) -> list[str]:
    """Methods as legends list them: dense, the named ones, others by name, controls last."""
    return sorted(set(methods), key=lambda m: (is_control(m), _place(m), m))


class Look:
    """Colour, dash and shape of every method of a table.

    Parameters
    ----------
    methods
        All methods of the table, not only those in one panel: what the palette does not name is coloured by its place
        among them, and so keeps its colour from panel to panel.
    """

    def __init__(self, methods: Iterable[str]) -> None:
        self.methods = in_order(methods)
        others = [m for m in self.methods if m not in _COLOURS and not is_control(m)]
        self._other = {m: i for i, m in enumerate(others)}

    def colour(self, method: str) -> str:
        """Colour of a method."""
        if is_control(method) and method not in _COLOURS:
            return _COLOURS["oracle" if method.startswith("oracle") else "random"]
        return _COLOURS.get(method) or _OTHER[self._other[method] % len(_OTHER)]

    def shape(self, method: str) -> str:
        """Shape of a method's points."""
        if is_control(method):
            return "cross"
        return _SHAPES.get(method) or _OTHER_SHAPES[self._other[method] % len(_OTHER_SHAPES)]

    def dash(self, method: str) -> list[int]:
        """Dashes of a method's lines; solid but for controls."""
        return (_DASHES["oracle" if method.startswith("oracle") else "random"]) if is_control(method) else [1, 0]

    def encodings(self, shown: Sequence[str], field: str = "method", title: str = "method") -> dict[str, Any]:
        """Colour, dash and shape channels with one shared legend of the methods ``shown``."""
        domain = in_order(shown)
        ranges = [[f(m) for m in domain] for f in (self.colour, self.dash, self.shape)]
        scales = [alt.Scale(domain=domain, range=r) for r in ranges]
        legend = alt.Legend(title=title, symbolStrokeWidth=2, symbolSize=90)
        return {
            "color": alt.Color(f"{field}:N", scale=scales[0], legend=legend),
            "strokeDash": alt.StrokeDash(f"{field}:N", scale=scales[1], legend=legend),
            "shape": alt.Shape(f"{field}:N", scale=scales[2], legend=legend),
        }


def themed(chart: Any) -> Any:
    """``chart`` with the fonts, grid and legend of this project."""
    return chart.configure(
        font=FONT,
        background="white",
        padding=8,
        view=alt.ViewConfig(stroke=FAINT),
        axis=alt.AxisConfig(
            labelColor=INK, titleColor=INK, gridColor="#ececec", domainColor="#888", tickColor="#888",
            labelFontSize=11, titleFontSize=12, titleFontWeight="normal", labelOverlap=True,
        ),
        legend=alt.LegendConfig(orient="right", labelFontSize=12, titleFontSize=12, labelLimit=260),
        header=alt.HeaderConfig(labelFontSize=12, labelFontWeight="bold", titleFontSize=12, labelColor=INK),
        title=alt.TitleConfig(fontSize=15, anchor="start", color=INK, subtitleColor="#555", subtitleFontSize=12),
    )  # fmt: skip
