"""Whether methods spend the budget they were given."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.data import Tables
from sparsebench.charts.panels import PHASES, nothing, selection
from sparsebench.charts.theme import Look

TITLE = "Budget asked for and budget spent"
CAPTION = (
    "Measured density (the share of query-key pairs in prefill, of prompt KV entries in decode, that was really attended "
    "to, counted from each selection) against the budget asked for, 1 - sparsity. On the black line a method spends what "
    "it was given; above it spends more. One point per model, task, length and method, mean over n samples."
)
ORDER = 4


def build(tables: Tables) -> Any:
    """The chart, from the accuracy table."""
    frame = tables.accuracy
    look = Look(frame["method"].unique())
    panels = []
    for phase in ("prefill", "decode"):
        mine = frame.filter(pl.col("phase") == phase).with_columns(budget=1 - pl.col("sparsity"))
        if mine.height:
            panels.append(_panel(mine, PHASES[phase], look))
    if not panels:
        return nothing("No method was run in one phase alone.")
    return alt.hconcat(*panels, spacing=40).resolve_scale(
        color="independent", shape="independent", strokeDash="independent"
    )


def _panel(frame: pl.DataFrame, title: str, look: Look) -> Any:
    ends = [min(frame["budget"].min(), frame["cost"].min()) * 0.85, 1.0]  # type: ignore[type-var, operator]
    ticks = sorted({*frame["budget"].round(6), 1.0})
    scale, axis = alt.Scale(type="log", domain=ends, nice=False), alt.Axis(values=ticks, format=".3~f")
    line = (
        alt.Chart(alt.InlineData(values=[{"v": v} for v in ends]))
        .mark_line(color="black", strokeWidth=1)
        .encode(x=alt.X("v:Q", scale=scale), y=alt.Y("v:Q", scale=scale))
    )
    chosen, looks = selection(), look.encodings(frame["method"].unique().to_list())
    data = frame.select("model", "task", "length_tok", "method", "sparsity", "budget", "cost", "n")
    points = (
        alt.Chart(data)
        .mark_point(size=50, filled=True)
        .encode(
            x=alt.X("budget:Q", scale=scale, axis=axis, title="budget asked for (1 - sparsity)"),
            y=alt.Y("cost:Q", scale=scale, axis=axis, title="measured density"),
            color=looks["color"],
            shape=looks["shape"],
            opacity=alt.when(chosen).then(alt.value(0.85)).otherwise(alt.value(0.08)),
            tooltip=[
                "method:N", "model:N", "task:N", alt.Tooltip("length_tok:Q", title="length (tokens)", format=","),
                "sparsity:Q", alt.Tooltip("cost:Q", title="measured density", format=".4f"),
                alt.Tooltip("n:Q", title="samples"),
            ],
        )
        .add_params(chosen)
    )  # fmt: skip
    return alt.layer(line, points).properties(width=360, height=300, title=title)
