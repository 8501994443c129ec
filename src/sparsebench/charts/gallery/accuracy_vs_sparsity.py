"""Accuracy against sparsity, a panel per task and length."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.curves import Measure, Methods, across, interval_tips, method_curves, rows_and_columns, tip
from sparsebench.charts.data import Nothing, Tables
from sparsebench.charts.style import (
    blocks,
    drawn,
    gap_note,
    length_label,
    panel_width,
    phase_title,
    sparsity_axis,
    stacked,
    with_budget,
    with_gaps,
)
from sparsebench.stats.configuration import DENSE

NAME = "accuracy_vs_sparsity"
TITLE = "Accuracy versus sparsity"
NEEDS = ("accuracy",)
CAPTION = (
    "Mean score per task (rows) and prompt length (columns) at each target sparsity, prefill and decode apart. "
    "Bars are 95 % Wilson intervals of the mean; points of one sparsity stand a little apart so that bars can be "
    "told from each other. The black line is dense attention, the grey band its interval. Dashed grey: the "
    "controls; the oracle picks by true attention mass, random picks blindly. Panels marked 'no signal' have a "
    "dense score too close to chance to lose anything. n is in the tooltips."
)

COLUMNS = (
    "phase method task length length_tok sparsity budget accuracy accuracy_low accuracy_high difference "
    "attention_share signal n"
)
PLACE = ["model", "task", "length_tok"]
ACCURACY = Measure("accuracy", "accuracy", (0, 1), "%")


def build(tables: Tables) -> Any:
    """One block of panels per model and phase."""
    methods = Methods(tables.methods, tables.methods)
    dense = tables.accuracy.filter(pl.col("phase") == DENSE)

    def draw(model: str, phase: str, sparse: pl.DataFrame) -> Any:
        beside = dense.join(sparse.select(PLACE).unique(), on=PLACE, how="semi", maintain_order="left")
        return _panels(phase_title(model, phase), pl.concat([beside, sparse]), methods)

    return stacked(blocks(tables.accuracy, draw)) if _sparse(tables) else Nothing(EMPTY)


EMPTY = "No sparse configuration has been scored yet."


def _sparse(tables: Tables) -> bool:
    return bool(tables.accuracy.filter(pl.col("phase") != DENSE).height)


def _panels(title: str, lines: pl.DataFrame, methods: Methods) -> Any:
    frame = with_budget(lines).with_columns(length=length_label())
    width, height = panel_width(across(frame, "task")), 130
    tips = [
        tip("method:N"),
        tip("task:N"),
        tip("length_tok"),
        tip("sparsity"),
        *interval_tips("accuracy", "accuracy", ".3f"),
        tip("difference", "minus dense", "+.3f"),
        tip("attention_share", "measured density", ".3f"),
        tip("n"),
    ]

    def dense(flat: dict[str, Any]) -> list[Any]:
        base = alt.Chart().transform_filter(alt.datum.phase == DENSE)
        return [
            base.mark_rect(color="#000", opacity=0.09).encode(**ACCURACY.ends),
            base.mark_rule(strokeWidth=1.5).encode(y=ACCURACY.place, **flat, tooltip=tips),
        ]

    sparse = alt.FieldOneOfPredicate(field="phase", oneOf=["prefill", "decode", "both"])
    axis = sparsity_axis(frame.filter(pl.col("phase") != DENSE)["sparsity"])
    layers = method_curves(axis, ACCURACY, methods, tips, where=sparse, under=dense)
    notes = [
        gap_note("not run", width, height),
        gap_note("no signal", width, height, (alt.datum.phase == DENSE) & ~alt.datum.signal),
    ]
    data = drawn(with_gaps(frame, "task"), COLUMNS)
    panel = alt.layer(*layers, *notes, data=data).properties(width=width, height=height)
    return rows_and_columns(panel, frame, "task", title)
