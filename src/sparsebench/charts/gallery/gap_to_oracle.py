"""How far each method is from the best selection of its size."""

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

NAME = "gap_to_oracle"
TITLE = "Gap to the oracle"
NEEDS = ("accuracy",)
CAPTION = (
    "Score minus the oracle's at the same phase and sparsity, paired by sample, on the tasks with signal. The "
    "dashed line at zero is the oracle, which picks by true attention mass; dashed light grey is random choice, "
    "the other control. What lies between is what a better estimate of importance could still win. Bars are 95 % "
    "intervals of the paired difference. n is the number of pairs, in the tooltips."
)

COLUMNS = "phase method task length length_tok sparsity budget oracle_gap oracle_gap_low oracle_gap_high n"
GAP = Measure("oracle_gap", "score minus oracle", format="+.1f")


def build(tables: Tables) -> Any:
    """One block of panels per model and phase that has an oracle."""
    known = tables.accuracy.filter(
        pl.col("signal") & pl.col("oracle_gap").is_not_null() & ~pl.col("method").str.starts_with("oracle")
    )
    if known.is_empty():
        return Nothing("No oracle was run on a task with signal: there is no gap to show.")
    methods = Methods(tables.methods, known["method"].unique().to_list())
    return stacked(blocks(known, lambda model, phase, lines: _panels(phase_title(model, phase), lines, methods)))


def _panels(title: str, lines: pl.DataFrame, methods: Methods) -> Any:
    frame = with_budget(lines).with_columns(length=length_label())
    y = GAP.spanning(frame, -0.25, 0.1)
    width, height = panel_width(across(frame, "task")), 150
    tips = [tip("method:N"), tip("task:N"), tip("length_tok"), tip("sparsity")]
    tips += [*interval_tips("oracle_gap", "minus oracle", "+.3f"), tip("n")]
    zero = alt.Chart().mark_rule(color="#555", strokeDash=[5, 3]).encode(y=alt.datum(0, scale=y.scale))
    run = alt.datum.phase != "absent"
    layers = method_curves(sparsity_axis(frame["sparsity"]), y, methods, tips, where=run, under=lambda _: [zero])
    data = drawn(with_gaps(frame, "task"), COLUMNS)
    note = gap_note("not run, or no signal", width, height)
    panel = alt.layer(*layers, note, data=data).properties(width=width, height=height)
    return rows_and_columns(panel, frame, "task", title)
