"""Accuracy against relative attention cost, with the Pareto set."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.data import Tables
from sparsebench.charts.style import (
    drawn,
    length_label,
    method_look,
    notice,
    panel_width,
    phase_title,
    picker,
    share_axis,
    stacked,
)

NAME = "pareto"
TITLE = "Accuracy versus attention cost"
CAPTION = (
    "Mean over the tasks with signal against relative attention cost, the measured density of the sparse phase "
    "(where both are sparse: the share of all query-key pairs computed). Up and to the left is better. The thick "
    "grey line joins the Pareto set: no configuration is both cheaper and as accurate. Bars are 95 % intervals of "
    "the mean over tasks. The large black diamond is dense attention. Controls (dashed grey) are shown but never "
    "count. The share of bootstrap draws in which a point is on the frontier, and n, are in the tooltips."
)

COLUMNS = (
    "method",
    "sparsity",
    "length",
    "length_tok",
    "attention_share",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "kept",
    "member",
    "member_probability",
    "tasks",
    "n",
)


def build(tables: Tables) -> Any:
    """One row of panels, by length, per model and phase."""
    every = tables.accuracy["method"].unique().to_list()
    groups = tables.frontier.sort("model").partition_by("model", "phase", maintain_order=True, as_dict=True)
    order = {"prefill": 0, "decode": 1, "both": 2}
    shown = tables.frontier["method"].unique().to_list()
    parts = [
        _panels(str(model), str(phase), lines, every, shown)
        for (model, phase), lines in sorted(groups.items(), key=lambda g: (str(g[0][0]), order[str(g[0][1])]))
    ]
    empty = "No task has a dense score clearly above chance: there is no frontier to show."
    return stacked(parts or [notice(empty)])


def _panels(model: str, phase: str, lines: pl.DataFrame, every: list[str], shown: list[str]) -> Any:
    frame = lines.with_columns(length=length_label())
    lengths = frame.sort("length_tok")["length"].unique(maintain_order=True).to_list()
    look = method_look(every, shown)
    opacity, pick = picker()
    lowest = min(0.05, float(frame["attention_share"].min()))  # type: ignore[arg-type]
    x = alt.X(
        "attention_share:Q",
        title="relative attention cost (measured density)",
        scale=alt.Scale(type="log", domain=[lowest / 1.3, 1.25], nice=False),
        axis=alt.Axis(values=[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1], format="~f", grid=False),
    )
    y = share_axis("accuracy:Q", "mean accuracy")
    base = alt.Chart().encode(x=x)
    sparse = base.transform_filter(alt.datum.method != "dense")
    flat = {"color": look["color"], "opacity": opacity}
    low, high = alt.Y("accuracy_low:Q", title="mean accuracy"), alt.Y2("accuracy_high:Q")
    tips = [
        "method:N",
        "sparsity:Q",
        "length_tok:Q",
        alt.Tooltip("attention_share:Q", format=".3f"),
        alt.Tooltip("accuracy:Q", format=".3f"),
        alt.Tooltip("accuracy_low:Q", format=".3f", title="95 % from"),
        alt.Tooltip("accuracy_high:Q", format=".3f", title="95 % to"),
        alt.Tooltip("kept:Q", format=".1%", title="kept of dense"),
        alt.Tooltip("member_probability:Q", format=".0%", title="on the frontier"),
        alt.Tooltip("tasks:N"),
        alt.Tooltip("n:Q", title="n"),
    ]
    layers = alt.layer(
        pick(base.mark_rule(strokeWidth=1.2, strokeOpacity=0.6).encode(y=low, y2=high, **flat, tooltip=tips)),
        base.transform_filter(alt.datum.member)
        .mark_line(color="#000", opacity=0.2, strokeWidth=9, strokeJoin="round", strokeCap="round")
        .encode(y=y, order="attention_share:Q"),
        sparse.mark_line(strokeWidth=1.4).encode(y=y, order="attention_share:Q", strokeDash=look["strokeDash"], **flat),
        sparse.mark_point(filled=True, size=55).encode(y=y, shape=look["shape"], **flat, tooltip=tips),
        base.transform_filter(alt.datum.method == "dense")
        .mark_point(filled=True, size=190)
        .encode(y=y, shape=look["shape"], **flat, tooltip=tips),
        data=drawn(frame, *COLUMNS),
    ).properties(width=panel_width(len(lengths)), height=240)
    return layers.facet(column=alt.Column("length:N", sort=lengths, title=None), title=phase_title(model, phase))
