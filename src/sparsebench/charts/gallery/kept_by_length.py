"""How the share of dense kept falls with sparsity, and whether longer prompts bear more of it."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.data import Tables
from sparsebench.charts.palette import looks
from sparsebench.charts.style import drawn, notice, phase_title, stacked
from sparsebench.stats.configuration import DENSE

NAME = "kept_by_length"
TITLE = "Length and sparsity"
CAPTION = (
    "Share of dense accuracy kept (mean over the tasks with signal), a panel per method: prompt length across, "
    "sparsity down. The small figures are the paired 95 % interval; blue keeps all, red loses all. A column that "
    "pales downward later than its left neighbour says that longer prompts tolerate more sparsity. Oracle and "
    "random are controls. n is in the tooltips."
)

COLUMNS = ("method", "length", "length_tok", "sparsity", "shade", "label", "interval", "attention_share", "tasks", "n")


def build(tables: Tables) -> Any:
    """One row of panels per model and phase."""
    known = tables.frontier.filter((pl.col("method") != DENSE) & pl.col("kept").is_not_null())
    parts = [
        _panels(model, phase, lines)
        for model in known["model"].unique().sort()
        for phase in ("prefill", "decode", "both")
        if (lines := known.filter((pl.col("model") == model) & (pl.col("phase") == phase))).height
    ]
    return stacked(parts or [notice("No task has a dense score clearly above chance: there is nothing to keep.")])


def _panels(model: str, phase: str, lines: pl.DataFrame) -> Any:
    frame = lines.with_columns(
        length=pl.col("length_tok").map_elements(_short, return_dtype=pl.String),
        shade=pl.col("kept").clip(0, 1),
        label=_percent("kept"),
        interval=pl.format("{} to {}", _percent("kept_low"), _percent("kept_high")),
    )
    lengths = frame.sort("length_tok")["length"].unique(maintain_order=True).to_list()
    methods = list(looks(frame["method"]))
    base = alt.Chart().encode(
        x=alt.X("length:N", sort=lengths, title="tokens", axis=alt.Axis(labelAngle=0, domain=False)),
        y=alt.Y("sparsity:O", title="sparsity", axis=alt.Axis(domain=False)),
    )
    tips = [
        "method:N",
        "length_tok:Q",
        "sparsity:Q",
        alt.Tooltip("label:N", title="kept of dense, %"),
        alt.Tooltip("interval:N", title="95 % interval"),
        alt.Tooltip("attention_share:Q", title="relative attention cost"),
        "tasks:N",
        alt.Tooltip("n:Q", title="n"),
    ]
    shade = alt.Color(
        "shade:Q",
        scale=alt.Scale(
            domain=[0, 0.5, 0.8, 0.9, 1],
            range=["#b2182b", "#ef8a62", "#fddbc7", "#f7f7f7", "#67a9cf"],
            interpolate="rgb",
        ),
        legend=None,
    )
    ink = alt.condition("datum.shade < 0.25", alt.value("white"), alt.value("#222"))
    return (
        alt.layer(
            base.mark_rect(stroke="white", strokeWidth=2).encode(color=shade, tooltip=tips),
            base.mark_text(fontSize=13, dy=-6).encode(text="label:N", color=ink, tooltip=tips),
            base.mark_text(fontSize=9, dy=9).encode(text="interval:N", color=ink, tooltip=tips),
            data=drawn(frame, *COLUMNS),
        )
        .properties(width={"step": 62}, height={"step": 36})
        .facet(facet=alt.Facet("method:N", sort=methods, title=None), columns=max(1, 15 // (len(lengths) + 1)))
        .resolve_axis(x="independent")  # shared axes would also be drawn under places of the last row without a panel
        .properties(title=phase_title(model, phase))
    )


def _percent(column: str) -> pl.Expr:
    return (100 * pl.col(column)).round(0).cast(pl.Int64).cast(pl.String)


def _short(tokens: int) -> str:
    return f"{tokens // 1024}K" if tokens >= 1024 and tokens % 1024 == 0 else str(tokens)
