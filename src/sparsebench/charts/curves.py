"""What most charts are made of: a curve per method with intervals, small tables in colour, tooltips, facets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.palette import Look, looks
from sparsebench.charts.style import PAGE_WIDTH, lengths_of


@dataclass(frozen=True)
class Measure:
    """What a vertical axis shows: a column, its interval in ``_low`` and ``_high``, title, domain and format."""

    column: str
    title: str
    domain: tuple[float, float] | None = None
    format: str = ".2f"
    ticks: int = 5
    kind: str = "linear"

    @property
    def scale(self) -> alt.Scale:
        return alt.Scale(
            type=self.kind,
            zero=False,
            nice=self.kind != "log",
            **({"domain": list(self.domain)} if self.domain else {"padding": 6}),
        )

    @property
    def place(self) -> alt.Y:
        axis = alt.Axis(format=self.format, tickCount=self.ticks)
        return alt.Y(f"{self.column}:Q", title=self.title, scale=self.scale, axis=axis)

    @property
    def ends(self) -> dict[str, Any]:
        low, high = f"{self.column}_low", f"{self.column}_high"
        return {"y": alt.Y(f"{low}:Q", title=self.title, scale=self.scale), "y2": alt.Y2(f"{high}:Q")}

    def spanning(self, lines: pl.DataFrame, low: float, high: float) -> Measure:
        """The same with a domain that holds ``low`` to ``high`` and every interval of ``lines``."""
        least = [low, *lines[f"{self.column}_low"].drop_nulls()]
        most = [high, *lines[f"{self.column}_high"].drop_nulls()]
        return Measure(self.column, self.title, (min(least), max(most)), self.format, self.ticks, self.kind)


@dataclass(frozen=True)
class Methods:
    """How the methods of a chart are encoded.

    ``every``: all methods of the study, which decide who looks like what. ``shown``: those in the whole chart, all
    blocks together: scales with different domains would be merged by name and colours would not belong to methods.
    """

    every: Sequence[str]
    shown: Sequence[str]

    def encode(self, channel: str) -> Any:
        """``color``, ``strokeDash`` or ``shape`` with one merged legend."""
        table = looks(self.every)
        domain = [name for name in table if name in set(self.shown)]
        chosen: list[Look] = [table[name] for name in domain]
        legend = alt.Legend(
            title="method (click to pick, shift-click for more)",
            orient="top",
            columns=len(domain) if sum(7 * len(name) + 40 for name in domain) < PAGE_WIDTH else 6,
            titleLimit=400,
        )
        of: dict[str, tuple[Any, list[Any]]] = {
            "color": (alt.Color, [x.colour for x in chosen]),
            "strokeDash": (alt.StrokeDash, [list(x.dash) for x in chosen]),
            "shape": (alt.Shape, [x.shape for x in chosen]),
        }
        make, values = of[channel]
        return make("method:N", scale=alt.Scale(domain=domain, range=values), legend=legend)


def method_curves(
    x: Any,
    y: Measure,
    methods: Methods,
    tooltip: list[Any],
    where: Any = None,
    under: Callable[[dict[str, Any]], Iterable[Any]] | None = None,
    order: str | None = None,
) -> list[Any]:
    """Layers of one panel: interval bars, lines and points per method, faded where the legend picks others.

    Parameters
    ----------
    where
        Predicate of the lines that are curves; all by default.
    under
        Further layers, drawn below the curves; called with the colour and opacity that they may take over.
    order
        Column that a curve runs along; the horizontal axis by default.
    """
    picked, opacity = picking()
    flat = {"color": methods.encode("color"), "opacity": opacity}
    along = {"order": order} if order else {}
    base = alt.Chart() if where is None else alt.Chart().transform_filter(where)
    base = base.encode(x)
    # Altair credits a selection inside facets to the first layer, so that layer owns it, has a name, encodes colour.
    first = base.mark_rule(strokeWidth=1.2).encode(**y.ends, **flat, tooltip=tooltip)
    return [
        first.properties(name="first").add_params(picked),
        *(under(flat) if under else ()),
        base.mark_line(strokeWidth=1.8).encode(y=y.place, strokeDash=methods.encode("strokeDash"), **flat, **along),
        base.mark_point(filled=True, size=48).encode(y=y.place, shape=methods.encode("shape"), **flat, tooltip=tooltip),
    ]


def picking(full: float = 1.0) -> tuple[Any, Any]:
    """The selection of methods by the legend, and the opacity that fades the others."""
    picked = alt.selection_point(fields=["method"], bind="legend", name="picked")
    return picked, alt.condition(picked, alt.value(full), alt.value(0.12))


def method_bars(base: Any, x: Any, methods: Methods, tooltip: list[Any], middle: float, **more: Any) -> list[Any]:
    """Layers of one panel: per line of ``base`` a point and its interval along ``x``, and a rule at ``middle``."""
    picked, opacity = picking()
    flat = {"color": methods.encode("color"), "opacity": opacity, "tooltip": tooltip, **more}
    column, scale = x["shorthand"].removesuffix(":Q"), x["scale"]
    ends = {"x": alt.X(f"{column}_low:Q", title=x["title"], scale=scale), "x2": f"{column}_high:Q"}
    return [
        base.mark_rule(strokeWidth=1.8).encode(**ends, **flat).properties(name="first").add_params(picked),
        alt.Chart().mark_rule(color="#444").encode(x=alt.datum(middle, scale=scale)),
        base.mark_point(filled=True, size=64).encode(x=x, shape=methods.encode("shape"), **flat),
    ]


def across(lines: pl.DataFrame, row: str) -> int:
    """How many panels stand beside each other in :func:`rows_and_columns`.

    One length leaves the row free: then up to four, in rows of three or four, whichever leaves fewer places empty.
    """
    lengths, rows = lines["length"].n_unique(), lines[row].n_unique()
    return lengths if lengths > 1 else rows if rows <= 4 else min((4, 3), key=lambda columns: -rows % columns)


def rows_and_columns(panel: Any, lines: pl.DataFrame, row: str | None, title: Any) -> Any:
    """``panel`` once per value of ``row`` and per length; with one length, rows are wrapped over several columns."""
    lengths = lengths_of(lines)
    column = alt.Column("length:N", sort=lengths, title=None)
    if row is None:
        return panel.facet(column=column, title=title)
    header = alt.Header(labelOrient="top", labelAnchor="start", labelPadding=2)
    if len(lengths) == 1:
        wrapped = alt.Facet(f"{row}:N", title=None, header=header)
        # Shared axes would also be drawn under places of the last row without a panel.
        wide = panel.facet(facet=wrapped, columns=across(lines, row), title=f"{title}, {lengths[0]}")
        return wide.resolve_axis(x="independent")
    return panel.facet(row=alt.Row(f"{row}:N", title=None, header=header), column=column, title=title)


def tip(column: str, title: str | None = None, form: str | None = None) -> Any:
    """One line of a tooltip."""
    more = {key: value for key, value in (("title", title), ("format", form)) if value}
    return alt.Tooltip(column if ":" in column else f"{column}:Q", **more)


def interval_tips(column: str, title: str, form: str) -> list[Any]:
    """A quantity with both ends of its interval."""
    return [
        tip(column, title, form),
        tip(f"{column}_low", "95 % from", form),
        tip(f"{column}_high", "95 % to", form),
    ]


def cells(base: Any, colour: Any, ink: Any, tooltip: list[Any], large: str, small: str | None) -> list[Any]:
    """Layers of a small table: a coloured cell with one figure in it, and another below in small print."""
    layers = [
        base.mark_rect(stroke="white", strokeWidth=2).encode(color=colour, tooltip=tooltip),
        base.mark_text(fontSize=13 if small else 11, dy=-6 if small else 0).encode(
            text=large, color=ink, tooltip=tooltip
        ),
    ]
    if small:
        layers.append(base.mark_text(fontSize=9, dy=9).encode(text=small, color=ink, tooltip=tooltip))
    return layers


def kept_colour(column: str) -> Any:
    """Shade of a share kept: blue keeps all, red loses all."""
    scale = alt.Scale(
        domain=[0, 0.5, 0.8, 0.9, 1],
        range=["#b2182b", "#ef8a62", "#fddbc7", "#f7f7f7", "#67a9cf"],
        interpolate="rgb",
        clamp=True,
    )
    return alt.Color(f"{column}:Q", scale=scale, legend=None)


def percent(column: str) -> pl.Expr:
    """0.971 as ``97``."""
    return (100 * pl.col(column)).round(0).cast(pl.Int64).cast(pl.String)
