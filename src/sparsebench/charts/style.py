"""Encodings and layout that charts share."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import altair as alt
import polars as pl
import polars.selectors as cs

from sparsebench.charts.palette import Look, looks
from sparsebench.stats.configuration import DENSE

FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
PAGE_WIDTH = 1060  # room for panels at laptop width, beside the vertical axis


def config() -> dict[str, Any]:
    """The Vega-Lite config of every chart."""
    return {
        "font": FONT,
        "background": "white",
        "view": {"stroke": "#d5d5d5"},
        "axis": {"gridColor": "#ececec", "labelColor": "#333", "titleColor": "#333", "titleFontWeight": "normal"},
        "axisX": {"labelOverlap": True},
        "header": {"labelFontSize": 12, "labelFontWeight": "bold", "labelColor": "#333", "title": None},
        "legend": {"titleFontWeight": "normal", "labelFontSize": 12, "symbolSize": 90, "labelLimit": 260},
        "title": {"fontSize": 14, "anchor": "start", "color": "#222", "subtitleColor": "#555"},
        "concat": {"spacing": 34},
    }


def method_look(every: Iterable[str], shown: Iterable[str]) -> dict[str, Any]:
    """Colour, dash and shape encodings with one merged legend.

    Parameters
    ----------
    every
        All methods of the study, which decide who looks like what.
    shown
        Those in the whole chart, all blocks together: scales with different domains would be merged by name and colours
        would no longer belong to methods.
    """
    table = looks(every)
    domain = [name for name in table if name in set(shown)]
    chosen: list[Look] = [table[name] for name in domain]
    legend = alt.Legend(title="method (click to pick, shift-click for more)", orient="top", columns=6, titleLimit=400)
    kind, field = alt.Scale, "method:N"
    return {
        "color": alt.Color(field, scale=kind(domain=domain, range=[x.colour for x in chosen]), legend=legend),
        "strokeDash": alt.StrokeDash(
            field, scale=kind(domain=domain, range=[list(x.dash) for x in chosen]), legend=legend
        ),
        "shape": alt.Shape(field, scale=kind(domain=domain, range=[x.shape for x in chosen]), legend=legend),
    }


def picker() -> tuple[Any, Callable[[Any], Any]]:
    """Opacity that fades what is not picked in the legend, and what makes a chart's first layer own the selection.

    Altair credits a selection inside facets to the first layer, so that layer must own it, have a name, and encode
    colour.
    """
    picked = alt.selection_point(fields=["method"], bind="legend", name="picked")
    return (
        alt.condition(picked, alt.value(1.0), alt.value(0.12)),
        lambda first: first.properties(name="first").add_params(picked),
    )


def sparsity_axis(sparsities: Iterable[float]) -> alt.X:
    """Sparsity on a scale even in the logarithm of the budget, so that 0.9 and 0.95 are as far apart as 0 and 0.5."""
    budgets = sorted({round(1 - s, 6) for s in sparsities})
    low, high = (budgets[0], budgets[-1]) if budgets else (0.05, 1.0)
    return alt.X(
        "budget:Q",
        title="sparsity",
        scale=alt.Scale(type="log", reverse=True, domain=[low / 1.25, high * 1.25], nice=False),
        axis=alt.Axis(values=budgets, labelExpr="format(1 - datum.value, '.3~f')", grid=False),
    )


def share_axis(field: str, title: str) -> alt.Y:
    """A vertical axis from 0 to 100 %."""
    return alt.Y(field, title=title, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", tickCount=5))


def with_budget(lines: pl.DataFrame) -> pl.DataFrame:
    """Add ``budget``, the place on the sparsity axis: a little apart per method, so that intervals do not overlap."""
    sparse = [name for name in looks(lines["method"]) if name != DENSE]
    order = {name: i for i, name in enumerate(sparse)}
    middle, step = (len(order) - 1) / 2, 0.24 / max(len(order), 4)
    shifts = {name: i - middle for name, i in order.items()}
    place = pl.col("method").replace_strict(shifts, default=0.0, return_dtype=pl.Float64)
    return lines.with_columns(budget=(1 - pl.col("sparsity")) * (-step * place).exp())


def with_gaps(lines: pl.DataFrame, row: str) -> pl.DataFrame:
    """Add a line of phase ``absent`` for each panel (``row`` by ``length``) that would be empty."""
    grid = lines.select(row).unique().join(lines.select("length", "length_tok").unique(), how="cross")
    absent = grid.join(lines, on=[row, "length"], how="anti").with_columns(phase=pl.lit("absent"))
    return pl.concat([lines, absent], how="diagonal_relaxed")


def gap_note(text: str, width: int, height: int) -> Any:
    """What an empty panel says."""
    note = alt.Chart().transform_filter(alt.datum.phase == "absent")
    return note.mark_text(text=text, color="#777", fontSize=12).encode(x=alt.value(width / 2), y=alt.value(height / 2))


def drawn(lines: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """Only the columns that a chart reads, with five decimals: a chart carries its data, and a page many charts."""
    return lines.select(columns).with_columns(cs.float().round(5))


def length_label(column: str = "length_tok") -> pl.Expr:
    """``8192`` as ``8,192 tokens``."""
    return pl.col(column).map_elements(lambda n: f"{n:,} tokens", return_dtype=pl.String)


def panel_width(columns: int, least: int = 150, most: int = 500) -> int:
    """Width in pixels of each of ``columns`` panels side by side."""
    return int(min(most, max(least, PAGE_WIDTH / max(columns, 1) - 20)))


def notice(text: str) -> Any:
    """What stands in place of a chart that has nothing to show, so that no panel is silently empty."""
    frame = pl.DataFrame({"text": [text]})
    return (
        alt.Chart(frame)
        .mark_text(fontSize=14, color="#555", lineBreak="\n", align="left")
        .encode(text="text:N", x=alt.value(10), y=alt.value(30))
        .properties(width=700, height=60)
    )


def stacked(charts: Sequence[Any]) -> Any:
    """Charts one below the other with one legend. Each must encode methods with the same scales."""
    if len(charts) == 1:
        return charts[0].configure(**config())
    with warnings.catch_warnings():
        # One selection for all is what a shared legend wants; Altair warns that it made the copies one.
        warnings.filterwarnings("ignore", message="Automatically deduplicated", category=UserWarning)
        whole = alt.vconcat(*charts)
    return whole.configure(**config())


def phase_title(model: str, phase: str) -> str:
    """Headline of the panels of one model and phase."""
    what = {
        "prefill": "sparse prefill, dense decode",
        "decode": "dense prefill, sparse decode",
        "both": "sparse in both",
    }
    return f"{model} · {what[phase]}"
