"""The look of every chart, axes that charts share, and how blocks of panels stand together."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import altair as alt
import polars as pl
import polars.selectors as cs

from sparsebench.charts.palette import looks
from sparsebench.stats.configuration import DENSE, natural

FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"
PAGE_WIDTH = 1000  # room for panels at laptop width, beside the vertical axis
PHASE_WORDS = {
    "prefill": "sparse prefill, dense decode",
    "decode": "dense prefill, sparse decode",
    "both": "sparse in both",
}


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


def with_budget(lines: pl.DataFrame) -> pl.DataFrame:
    """Add ``budget``, the place on the sparsity axis: a little apart per method, so that intervals do not overlap."""
    return apart(lines.with_columns(budget=1 - pl.col("sparsity")), "budget", 0.24)


def length_axis(lengths: Iterable[int], column: str = "length_tok") -> alt.X:
    """Prompt length, even in its logarithm, with a mark at each length that was run."""
    values = sorted(set(lengths))
    return alt.X(
        f"{column}:Q",
        title="prompt length, tokens",
        scale=alt.Scale(type="log", domain=[values[0] / 1.2, values[-1] * 1.2], nice=False),
        axis=alt.Axis(
            values=values,
            labelExpr="datum.value % 1024 ? format(datum.value, ',') : datum.value / 1024 + 'K'",
            grid=False,
        ),
    )


def apart(lines: pl.DataFrame, column: str, spread: float) -> pl.DataFrame:
    """Move ``column``, a place on a logarithmic axis, a little apart per method."""
    sparse = [name for name in looks(lines["method"]) if name != DENSE]
    middle, step = (len(sparse) - 1) / 2, spread / max(len(sparse), 4)
    shifts = {name: middle - i for i, name in enumerate(sparse)}
    place = pl.col("method").replace_strict(shifts, default=0.0, return_dtype=pl.Float64)
    return lines.with_columns((pl.col(column) * (step * place).exp()).alias(column))


def with_gaps(lines: pl.DataFrame, row: str, column: str = "length", **fill: Any) -> pl.DataFrame:
    """Add a line of phase ``absent`` for each panel (``row`` by ``column``) that would be empty.

    Vega moves the panels behind a missing one up, away from their headings. ``fill`` names what an added line says.
    """
    across = lines.select({column, *(["length_tok"] if column == "length" else [])}).unique()
    absent = lines.select(row).unique().join(across, how="cross").join(lines, on=[row, column], how="anti")
    absent = absent.with_columns(phase=pl.lit("absent"), **{name: pl.lit(value) for name, value in fill.items()})
    return pl.concat([lines, absent], how="diagonal_relaxed")


def gap_note(text: str, width: int, height: int, where: Any = "datum.phase == 'absent'") -> Any:
    """What a panel says that is empty, or in which ``where`` holds for a line."""
    note = alt.Chart().transform_filter(where)
    return note.mark_text(text=text, color="#777", fontSize=12).encode(x=alt.value(width / 2), y=alt.value(height / 2))


def drawn(lines: pl.DataFrame, columns: str = "") -> pl.DataFrame:
    """Only the ``columns`` that a chart reads (names between spaces; default all), with five decimals.

    A chart carries its data, and a page many charts.
    """
    return lines.select(columns.split() or lines.columns).with_columns(cs.float().round(5))


def length_label(column: str = "length_tok") -> pl.Expr:
    """``8192`` as ``8,192 tokens``."""
    return pl.col(column).map_elements(lambda n: f"{n:,} tokens", return_dtype=pl.String)


def short_length(column: str = "length_tok") -> pl.Expr:
    """``8192`` as ``8K``; other numbers as they are."""
    return pl.col(column).map_elements(
        lambda n: f"{n // 1024}K" if n >= 1024 and n % 1024 == 0 else str(n), return_dtype=pl.String
    )


def lengths_of(lines: pl.DataFrame, column: str = "length") -> list[str]:
    """The labels in ``column`` by ascending length."""
    return lines.sort("length_tok")[column].unique(maintain_order=True).to_list()


def panel_width(columns: int, least: int = 150, most: int = 500) -> int:
    """Width in pixels of each of ``columns`` panels side by side."""
    return int(min(most, max(least, PAGE_WIDTH / max(columns, 1) - 20)))


def blocks(lines: pl.DataFrame, draw: Callable[[str, str, pl.DataFrame], Any]) -> list[Any]:
    """``draw(model, phase, lines)`` for each model and phase that has lines, prefill before decode."""
    return [
        draw(model, phase, part)
        for model in sorted(lines["model"].unique(), key=natural)
        for phase in PHASE_WORDS
        if (part := lines.filter((pl.col("model") == model) & (pl.col("phase") == phase))).height
    ]


def stacked(charts: Sequence[Any]) -> Any:
    """Charts one below the other with one legend. Each must encode methods with the same scales."""
    if len(charts) == 1:
        return charts[0].configure(**config())
    with warnings.catch_warnings():
        # One selection for all is what a shared legend wants; Altair warns that it made the copies one.
        warnings.filterwarnings("ignore", message="Automatically deduplicated", category=UserWarning)
        whole = alt.vconcat(*charts)
    return whole.configure(**config())


def notice(text: str) -> Any:
    """What stands in place of a chart that has nothing to show, so that no panel is silently empty."""
    frame = pl.DataFrame({"text": [text]})
    return (
        alt.Chart(frame)
        .mark_text(fontSize=14, color="#555", lineBreak="\n", align="left")
        .encode(text="text:N", x=alt.value(10), y=alt.value(30))
        .properties(width=PAGE_WIDTH, height=60)
        .configure(**config())
    )


def phase_title(model: str, phase: str) -> str:
    """Headline of the panels of one model and phase."""
    return f"{model} · {PHASE_WORDS[phase]}"
