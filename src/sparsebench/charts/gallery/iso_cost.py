"""At equal cost: a large sparse model against a smaller dense one."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.curves import Methods, interval_tips, method_bars, tip
from sparsebench.charts.data import Nothing, Tables
from sparsebench.charts.style import (
    PAGE_WIDTH,
    PHASE_WORDS,
    drawn,
    gap_note,
    length_label,
    lengths_of,
    stacked,
    with_gaps,
)
from sparsebench.stats.configuration import DENSE

NAME = "iso_cost"
TITLE = "Equal cost: large and sparse, or small and dense"
NEEDS = ("accuracy", "iso_cost")
CAPTION = (
    "Each line is a duel at equal cost of the whole model (named in the tooltip): the sparse larger model minus the "
    "dense smaller one, mean over the tasks where the dense models have signal, with its 95 % interval. To the right "
    "of zero the large sparse model wins, to the left the small dense one; an interval that holds zero decides "
    "nothing. Costs, both accuracies, p adjusted by Holm and n are in the tooltips."
)

COLUMNS = (
    "phase method duel line length length_tok difference difference_low difference_high cost_a cost_b cost_unit "
    "accuracy_a accuracy_b p_holm winner tasks n"
)


def build(tables: Tables) -> Any:
    """One block per phase: a row of panels per pair of models, a column per length, a line per sparse configuration."""
    sizes = tables.iso_cost.filter((pl.col("kind") == "sizes") & (pl.col("method_b") == DENSE))
    if sizes.is_empty():
        return Nothing("No two models of different size met at equal cost: there is no duel to show.")
    methods = Methods(tables.methods, sizes["method_a"].unique().to_list())
    parts = [_panels(phase, part, methods) for phase in PHASE_WORDS if (part := sizes.filter(phase=phase)).height]
    return stacked(parts)


def _panels(phase: str, lines: pl.DataFrame, methods: Methods) -> Any:
    frame = lines.with_columns(
        method=pl.col("method_a"),
        duel=pl.format("{} sparse against {} dense", "model_a", "model_b"),
        line=pl.format("{} at {}", "method_a", pl.col("sparsity_a").round(4)),
        length=length_label(),
    )
    lengths = lengths_of(frame)
    ends = [0.0, *frame["difference_low"].drop_nulls(), *frame["difference_high"].drop_nulls()]
    scale = alt.Scale(domain=[min(ends) - 0.05, max(ends) + 0.05], nice=False)
    x = alt.X(
        "difference:Q", title="accuracy, large minus small", scale=scale, axis=alt.Axis(format="+.2f", tickCount=5)
    )
    axis = alt.Axis(labelLimit=200, grid=True)
    base = alt.Chart().encode(y=alt.Y("line:N", sort=alt.SortField("line"), title=None, axis=axis))
    tips = [
        tip("duel:N"),
        tip("line:N", "sparse"),
        tip("length_tok"),
        *interval_tips("difference", "large minus small", "+.3f"),
        tip("accuracy_a", "large and sparse", ".3f"),
        tip("accuracy_b", "small and dense", ".3f"),
        tip("cost_a", "cost, large", ".3s"),
        tip("cost_b", "cost, small", ".3s"),
        tip("cost_unit:N", "unit"),
        tip("winner:N"),
        tip("p_holm", "p, Holm", ".2g"),
        tip("tasks:N"),
        tip("n"),
    ]
    width = int(min(380, (PAGE_WIDTH - 130) / len(lengths) - 20))
    header = alt.Header(labelOrient="top", labelAnchor="start", labelPadding=2)
    data = drawn(with_gaps(frame, "duel", line=frame["line"][0]), COLUMNS)
    note = gap_note("no duel at equal cost", width, 18 * frame["line"].n_unique())
    panel = alt.layer(*method_bars(base, x, methods, tips, 0), note, data=data)
    return panel.properties(width=width, height={"step": 18}).facet(
        row=alt.Row("duel:N", title=None, header=header),
        column=alt.Column("length:N", sort=lengths, title=None),
        title=PHASE_WORDS[phase],
    )
