"""Which way of estimating importance serves which task in prefill."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.curves import Methods, interval_tips, method_bars, tip
from sparsebench.charts.data import Nothing, Tables, method_axes
from sparsebench.charts.style import (
    PAGE_WIDTH,
    blocks,
    drawn,
    length_label,
    lengths_of,
    phase_title,
    stacked,
    with_gaps,
)

NAME = "prefill_patterns"
TITLE = "Prefill patterns by task"
NEEDS = ("accuracy",)
CAPTION = (
    "Share of dense accuracy kept by each prefill method on each task with signal, by the way it estimates importance "
    "(from its own axes, in the heading above the panels): global-to-token picks keys that matter to the last "
    "queries for all of them, block-to-block picks key blocks anew for each block of queries. Panels: prompt length "
    "down, sparsity across. Bars are paired 95 % intervals. n is in the tooltips."
)

COLUMNS = "method task importance length length_tok panel sparsity kept kept_low kept_high attention_share n"


def build(tables: Tables) -> Any:
    """One block per model: tasks down, sparsities across, lengths as rows."""
    axes = {label: a.importance for (phase, label), a in method_axes(tables).items() if phase == "prefill"}
    lines = tables.accuracy.filter(
        pl.col("signal") & ~pl.col("control") & (pl.col("phase") == "prefill") & pl.col("kept").is_not_null()
    )
    if lines.is_empty():
        return Nothing("No prefill method was scored on a task with signal.")
    lines = lines.with_columns(
        importance=pl.col("method").replace_strict(axes, default="not stated", return_dtype=pl.String)
    )
    if lines["importance"].n_unique() < 2:
        return Nothing("No two ways of estimating importance in prefill were run: there is nothing to compare.")
    methods = Methods(tables.methods, lines["method"].unique().to_list())
    return stacked(blocks(lines, lambda model, phase, part: _panels(phase_title(model, phase), part, methods)))


def _panels(title: str, lines: pl.DataFrame, methods: Methods) -> Any:
    sparsities = lines["sparsity"].unique().sort().to_list()
    frame = lines.with_columns(
        length=length_label(), panel=pl.format("sparsity {}", pl.col("sparsity").round(4)), method=pl.col("method")
    )
    scale = alt.Scale(domain=[0, max(1.0, *frame["kept_high"].drop_nulls())], nice=False)
    axis = alt.Axis(format="%", tickCount=5)
    x = alt.X("kept:Q", title="kept of dense", scale=scale, axis=axis)
    base = alt.Chart().encode(
        y=alt.Y("task:N", title=None, axis=alt.Axis(labelLimit=170, grid=True, gridColor="#f3f3f3"))
    )
    tips = [
        tip("method:N"),
        tip("importance:N"),
        tip("task:N"),
        tip("length_tok"),
        tip("sparsity"),
        *interval_tips("kept", "kept of dense", ".1%"),
        tip("attention_share", "measured density", ".3f"),
        tip("n"),
    ]
    beside = alt.YOffset("method:N", scale=alt.Scale(paddingOuter=0.4))
    layers = method_bars(base, x, methods, tips, 1, yOffset=beside)
    width = int(min(300, (PAGE_WIDTH - 150) / len(sparsities) - 20))
    header = alt.Header(labelOrient="top", labelAnchor="start", labelPadding=2)
    how = "; ".join(f"{m}: {i}" for m, i in frame.select("method", "importance").unique().sort("method").iter_rows())
    return (
        alt.layer(*layers, data=drawn(with_gaps(frame, "panel", task=frame["task"][0]), COLUMNS))
        .properties(width=width, height={"step": 11, "for": "offset"})
        .facet(
            row=alt.Row("length:N", sort=lengths_of(frame), title=None, header=header),
            column=alt.Column("panel:N", title=None),
            title=alt.TitleParams(title, subtitle=how),
        )
    )
