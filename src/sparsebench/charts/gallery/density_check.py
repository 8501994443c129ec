"""Whether methods spend the budget they were given."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.data import Tables
from sparsebench.charts.panels import PHASES, budget_axis, nothing, placed, selection
from sparsebench.charts.theme import Look

TITLE = "Budget asked for and budget spent"
CAPTION = (
    "Measured density (the share of query-key pairs in prefill, of prompt KV entries in decode, that was really "
    "attended to, counted from each selection) as a multiple of the budget asked for, 1 - sparsity. On the black line "
    "a method spends what it was given, above it more. One point per model, task, length and method, mean over n "
    "samples; points at one sparsity stand side by side. Click a legend entry to see one method alone."
)
ORDER = 4


def build(tables: Tables) -> Any:
    """The chart, from the accuracy table."""
    frame = tables.accuracy
    look = Look(frame["method"].unique())
    panels = []
    for phase in ("prefill", "decode"):
        mine = frame.filter(pl.col("phase") == phase)
        if mine.height:
            panels.append(_panel(mine, PHASES[phase], look))
    if not panels:
        return nothing("No method was run in one phase alone.")
    return alt.hconcat(*panels, spacing=40).resolve_scale(
        color="independent", shape="independent", strokeDash="independent"
    )


def _panel(frame: pl.DataFrame, title: str, look: Look) -> Any:
    chosen, looks = selection(title), look.encodings(frame["method"].unique().to_list())
    frame = placed(frame).with_columns(spent=pl.col("cost") / (1 - pl.col("sparsity")))
    y = alt.Y("spent:Q", title="measured density / budget", scale=alt.Scale(zero=False))
    line = alt.Chart(alt.InlineData(values=[{"spent": 1}])).mark_rule(color="black").encode(y=y)
    points = (
        alt.Chart(frame.select("model", "task", "length_tok", "method", "sparsity", "x", "cost", "spent", "n"))
        .mark_point(size=50, filled=True)
        .encode(
            x=budget_axis(frame),
            y=y,
            color=looks["color"],
            shape=looks["shape"],
            opacity=alt.when(chosen).then(alt.value(0.85)).otherwise(alt.value(0.08)),
            tooltip=[
                alt.Tooltip("method:N"),
                alt.Tooltip("model:N"),
                alt.Tooltip("task:N"),
                alt.Tooltip("length_tok:Q", title="length (tokens)", format=","),
                alt.Tooltip("sparsity:Q"),
                alt.Tooltip("cost:Q", title="measured density", format=".4f"),
                alt.Tooltip("spent:Q", title="density / budget", format=".3f"),
                alt.Tooltip("n:Q", title="samples"),
            ],
        )
        .add_params(chosen)
    )
    return alt.layer(points, line).properties(width=380, height=280, title=title)
