"""Accuracy against cost, with the Pareto set."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.curves import Measure, Methods, interval_tips, method_curves, rows_and_columns, tip
from sparsebench.charts.data import Nothing, Tables
from sparsebench.charts.style import blocks, drawn, length_label, panel_width, phase_title, stacked
from sparsebench.stats.configuration import DENSE

NAME = "pareto"
TITLE = "Accuracy versus cost"
NEEDS = ("accuracy", "frontier")
CAPTION = (
    "Mean over the tasks with signal against cost as a share of the same model's dense attention: FLOPs of the prompt "
    "where prefill is sparse, bytes read per token where decode is; the whole model and selection included. Up and to "
    "the left is better; each panel has its own scale of cost. The thick grey line is the best accuracy that the "
    "model's Pareto set buys up to each cost, the band its 95 % interval: no configuration is both cheaper and as "
    "accurate as a member. Bars are 95 % intervals of the mean over tasks. The large black diamond is dense "
    "attention. Controls (dashed grey) are shown but never count. Measured density, the share of bootstrap draws in "
    "which a point is on the frontier, and n are in the tooltips."
)

COLUMNS = (
    "method sparsity length length_tok cost_share attention_share accuracy accuracy_low accuracy_high kept "
    "model_member model_member_probability tasks n"
)
ACCURACY = Measure("accuracy", "mean accuracy", (0, 1), "%")


def build(tables: Tables) -> Any:
    """One row of panels, by length, per model and phase."""
    if tables.frontier.is_empty():
        return Nothing("No task has a dense score clearly above chance: there is no frontier to show.")
    methods = Methods(tables.methods, tables.frontier["method"].unique().to_list())
    return stacked(
        blocks(tables.frontier, lambda model, phase, lines: _panels(phase_title(model, phase), lines, methods))
    )


def _panels(title: str, lines: pl.DataFrame, methods: Methods) -> Any:
    frame = lines.with_columns(length=length_label())
    # Attention is a small share of a small model's cost: then differences of a few percent fill the axis.
    log = min([1.0, *frame["cost_share"].drop_nulls()]) < 0.4
    x = alt.X(
        "cost_share:Q",
        title="cost of the whole model, dense = 1",
        scale=alt.Scale(type="log" if log else "linear", nice=False, zero=False, padding=14),
        axis=alt.Axis(values=[0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 2, 5], format="~f", grid=False)
        if log
        else alt.Axis(tickCount=5, format="~f", grid=False),
    )
    tips = [
        tip("method:N"),
        tip("sparsity"),
        tip("length_tok"),
        tip("cost_share", "cost, share of dense", ".3f"),
        tip("attention_share", "measured density", ".3f"),
        *interval_tips("accuracy", "accuracy", ".3f"),
        tip("kept", "kept of dense", ".1%"),
        tip("model_member_probability", "on the frontier", ".0%"),
        tip("tasks:N"),
        tip("n"),
    ]

    def front(flat: dict[str, Any]) -> list[Any]:
        members = alt.Chart().encode(x=x).transform_filter(alt.datum.model_member)
        dense = alt.Chart().encode(x=x).transform_filter(alt.datum.method == DENSE)
        return [
            members.mark_area(color="#000", opacity=0.08, interpolate="step-after").encode(**ACCURACY.ends),
            members.mark_line(color="#000", opacity=0.25, strokeWidth=5, interpolate="step-after").encode(
                y=ACCURACY.place
            ),
            dense.mark_point(filled=True, size=190).encode(
                y=ACCURACY.place, shape=methods.encode("shape"), **flat, tooltip=tips
            ),
        ]

    layers = method_curves(x, ACCURACY, methods, tips, under=front, order="cost_share:Q")
    panel = alt.layer(*layers, data=drawn(frame, COLUMNS))
    panel = panel.properties(width=panel_width(frame["length"].n_unique()), height=240)
    return rows_and_columns(panel, frame, None, title).resolve_scale(x="independent")
