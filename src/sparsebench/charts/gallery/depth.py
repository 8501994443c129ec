"""Accuracy by the place of the evidence in the prompt."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.curves import cells, interval_tips, tip
from sparsebench.charts.data import Nothing, Tables
from sparsebench.charts.palette import looks
from sparsebench.charts.style import PAGE_WIDTH, blocks, drawn, phase_title, stacked
from sparsebench.stats.configuration import DENSE

NAME = "depth"
TITLE = "Where the evidence lies"
NEEDS = ("accuracy", "depth")
CAPTION = (
    "Mean score, in percent, of the samples that have evidence in each tenth of the prompt (0 the beginning, 9 the "
    "end), at the longest length of each task; sparsity down, dense in the first row. A sample with several pieces "
    "counts in every tenth that holds one, so a task that spreads its evidence shows little of depth. Tasks whose "
    "dense score is at chance are left out; a white cell has no sample. The 95 % interval, the paired difference to "
    "dense and n are in the tooltips: cells hold few samples each."
)

COLUMNS = (
    "method task row length_tok sparsity level decile accuracy accuracy_low accuracy_high difference "
    "difference_low difference_high label pieces n"
)


def build(tables: Tables) -> Any:
    """One block per model and phase: methods across, tasks down."""
    signal = tables.accuracy.filter("signal").select("model", "task", "length_tok").unique()
    longest = signal.group_by("model", "task").agg(pl.col("length_tok").max())
    lines = tables.depth.join(longest, on=["model", "task", "length_tok"], maintain_order="left")
    sparse = lines.filter(pl.col("phase") != DENSE)
    if sparse.is_empty():
        return Nothing("No task with signal records where its evidence lies: there is no depth to show.")
    dense = lines.filter(pl.col("phase") == DENSE)

    def draw(model: str, phase: str, part: pl.DataFrame) -> Any:
        methods = part.select("method").unique().sort("method")
        beside = dense.filter(pl.col("model") == model).drop("method").join(methods, how="cross").select(part.columns)
        return _panels(phase_title(model, phase), pl.concat([part, beside]))

    return stacked(blocks(sparse, draw))


def _panels(title: str, lines: pl.DataFrame) -> Any:
    methods = list(looks(lines["method"]))
    step = max(14, min(24, int((PAGE_WIDTH - 40) / len(methods) - 42) // 10))
    frame = lines.with_columns(
        row=pl.format("{}, {} tokens", "task", pl.col("length_tok").map_elements(lambda n: f"{n:,}", pl.String)),
        level=pl.when(pl.col("phase") == DENSE).then(pl.lit("dense")).otherwise(pl.col("sparsity").cast(pl.String)),
        label=(100 * pl.col("accuracy")).round(0).cast(pl.Int64).cast(pl.String),
    )
    levels = ["dense", *map(str, lines.filter(pl.col("phase") != DENSE)["sparsity"].unique().sort())]
    base = alt.Chart().encode(
        x=alt.X("decile:O", title="tenth of the prompt", axis=alt.Axis(labelAngle=0, domain=False)),
        y=alt.Y("level:N", sort=levels, title="sparsity", axis=alt.Axis(domain=False)),
    )
    tips = [
        tip("method:N"),
        tip("row:N", "task"),
        tip("level:N", "sparsity"),
        tip("decile", "tenth"),
        *interval_tips("accuracy", "accuracy", ".3f"),
        *interval_tips("difference", "minus dense", "+.3f"),
        tip("pieces", "pieces of evidence", ".1f"),
        tip("n"),
    ]
    shade = alt.Color(
        "accuracy:Q",
        scale=alt.Scale(domain=[0, 1], scheme="viridis"),
        legend=alt.Legend(title="accuracy", orient="top", format="%"),
    )
    ink = alt.condition("datum.accuracy > 0.6", alt.value("#222"), alt.value("white"))
    layers = cells(base, shade, ink, tips, "label:N", None)
    header = alt.Header(labelOrient="top", labelAnchor="start", labelPadding=2)
    return (
        alt.layer(*(layers if step >= 20 else layers[:1]), data=drawn(frame, COLUMNS))
        .properties(width={"step": step}, height={"step": 20})
        .facet(
            row=alt.Row("row:N", title=None, header=header),
            column=alt.Column("method:N", sort=methods, title=None),
            title=title,
        )
    )
