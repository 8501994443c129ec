"""How the share of dense kept falls with sparsity, and whether longer prompts bear more of it."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.curves import cells, kept_colour, percent, tip
from sparsebench.charts.data import Nothing, Tables
from sparsebench.charts.palette import looks
from sparsebench.charts.style import PAGE_WIDTH, blocks, drawn, lengths_of, phase_title, short_length, stacked
from sparsebench.stats.configuration import DENSE

NAME = "kept_by_length"
TITLE = "Length and sparsity"
NEEDS = ("frontier",)
CAPTION = (
    "Share of dense accuracy kept (mean over the tasks with signal), a panel per method: prompt length across, "
    "sparsity down. The small figures are the paired 95 % interval; blue keeps all, red loses all. A column that "
    "pales downward later than its left neighbour says that longer prompts tolerate more sparsity. Oracle and "
    "random are controls. n is in the tooltips."
)

COLUMNS = "method length length_tok sparsity shade label interval attention_share tasks n"


def build(tables: Tables) -> Any:
    """One row of panels per model and phase."""
    known = tables.frontier.filter((pl.col("method") != DENSE) & pl.col("kept").is_not_null())
    if known.is_empty():
        return Nothing("No task has a dense score clearly above chance: there is nothing to keep.")
    return stacked(blocks(known, _panels))


def _panels(model: str, phase: str, lines: pl.DataFrame) -> Any:
    frame = lines.with_columns(
        length=short_length(),
        shade=pl.col("kept").clip(0, 1),
        label=percent("kept"),
        interval=pl.format("{} to {}", percent("kept_low"), percent("kept_high")),
    )
    lengths = lengths_of(frame)
    base = alt.Chart().encode(
        x=alt.X("length:N", sort=lengths, title="tokens", axis=alt.Axis(labelAngle=0, domain=False)),
        y=alt.Y("sparsity:O", title="sparsity", axis=alt.Axis(domain=False)),
    )
    tips = [
        tip("method:N"),
        tip("length_tok"),
        tip("sparsity"),
        tip("label:N", "kept of dense, %"),
        tip("interval:N", "95 % interval"),
        tip("attention_share", "measured density"),
        tip("tasks:N"),
        tip("n"),
    ]
    ink = alt.condition("datum.shade < 0.45", alt.value("white"), alt.value("#222"))
    return (
        alt.layer(*cells(base, kept_colour("shade"), ink, tips, "label:N", "interval:N"), data=drawn(frame, COLUMNS))
        .properties(width={"step": 62}, height={"step": 36})
        .facet(
            facet=alt.Facet("method:N", sort=list(looks(frame["method"])), title=None),
            columns=max(1, PAGE_WIDTH // (62 * len(lengths) + 46)),
        )
        .resolve_axis(x="independent")  # shared axes would also be drawn under places of the last row without a panel
        .properties(title=phase_title(model, phase))
    )
