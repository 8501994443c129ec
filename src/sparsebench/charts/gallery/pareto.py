"""Accuracy against relative attention cost, with the Pareto set."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.data import Tables
from sparsebench.charts.panels import PHASES, nothing, selection, stacked
from sparsebench.charts.theme import Look
from sparsebench.stats.configuration import DENSE

TITLE = "Pareto frontier: accuracy versus attention cost"
CAPTION = (
    "Mean accuracy over the tasks with signal against the attention cost relative to dense (measured density of the "
    "sparse phase, logarithmic), a column per length. The thick grey line joins the Pareto set: configurations that "
    "none beats in both cost and accuracy. The black diamond is dense attention, at cost 1. Bars are 95 % intervals. "
    "Oracle and random selection are controls (grey, dashed) and never members. Point at a mark for its interval, n, "
    "and the share of bootstrap draws in which it is a member."
)
ORDER = 1


def build(tables: Tables) -> Any:
    """The chart, from the frontier table."""
    frame = tables.frontier
    if not frame.height:
        return nothing("No task has signal: nothing can be lost, so there is no frontier.")
    look = Look(tables.accuracy["method"].unique())
    charts = []
    for model in sorted(frame["model"].unique()):
        for phase, words in PHASES.items():
            mine = frame.filter(pl.col("model") == model, pl.col("phase") == phase)
            if mine.height:
                tasks = mine.filter("complete")["tasks"].unique().sort().to_list()
                charts.append(
                    _block(mine, alt.Title(f"{model}: {words}", subtitle=f"mean over: {'; '.join(tasks)}"), look)
                )
    return stacked(charts)


def _block(frame: pl.DataFrame, title: Any, look: Look) -> Any:
    chosen = selection(title.text)
    looks = look.encodings(frame["method"].unique().to_list())
    shown = alt.when(chosen).then(alt.value(1)).otherwise(alt.value(0.12))
    cheapest = float(frame["cost"].min())  # type: ignore[arg-type]
    ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if t >= cheapest / 1.3]
    x = alt.X(
        "cost:Q",
        title="attention cost relative to dense",
        scale=alt.Scale(type="log", domain=[cheapest / 1.2, 1.15], nice=False),
        axis=alt.Axis(values=ticks, format=".2~f", grid=False),
    )
    y = alt.Y("accuracy:Q", title="mean accuracy", scale=alt.Scale(domain=[0, 1]))
    data = frame.select(
        "length_tok", "method", "sparsity", "prefill_sparsity", "control", "cost", "accuracy", "accuracy_low",
        "accuracy_high", "kept", "n", "n_tasks", "member", "member_probability",
    )  # fmt: skip
    base = alt.Chart()
    frontier = (
        base.transform_filter("datum.member")
        .mark_line(strokeWidth=9, color="#000000", opacity=0.13, interpolate="linear", strokeCap="round")
        .encode(x=x, y=y)
    )
    rule = base.mark_rule(strokeWidth=1.2).encode(
        x=x, y=alt.Y("accuracy_low:Q", title="mean accuracy"), y2="accuracy_high:Q", color=looks["color"], opacity=shown
    )
    line = (
        base.transform_filter(f"datum.method != '{DENSE}'")
        .mark_line(strokeWidth=2)
        .encode(x=x, y=y, color=looks["color"], strokeDash=looks["strokeDash"], opacity=shown)
    )
    point = base.mark_point(filled=True, size=70).encode(
        x=x,
        y=y,
        color=looks["color"],
        shape=looks["shape"],
        opacity=shown,
        size=alt.condition("datum.method === 'dense'", alt.value(160), alt.value(60)),
        tooltip=[
            "method:N", "sparsity:Q", alt.Tooltip("cost:Q", title="relative cost", format=".3f"),
            alt.Tooltip("accuracy:Q", format=".3f"), alt.Tooltip("accuracy_low:Q", title="95 % from", format=".3f"),
            alt.Tooltip("accuracy_high:Q", title="to", format=".3f"),
            alt.Tooltip("kept:Q", title="share of dense kept", format=".1%"), alt.Tooltip("n:Q", title="samples"),
            alt.Tooltip("n_tasks:Q", title="tasks"), alt.Tooltip("member:N", title="on the frontier"),
            alt.Tooltip("member_probability:Q", title="in bootstrap draws", format=".0%"),
        ],
    )  # fmt: skip
    columns = frame["length_tok"].n_unique()
    return (
        alt.layer(frontier.add_params(chosen), rule, line, point)
        .properties(width=max(200, min(480, 900 // columns - 40)), height=260)
        .facet(
            column=alt.Column(
                "length_tok:O", title=None, header=alt.Header(labelExpr="format(datum.value, ',') + ' tokens'")
            ),
            data=data,
            title=title,
        )
    )
