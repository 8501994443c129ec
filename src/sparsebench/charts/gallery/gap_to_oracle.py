"""How far each method is from the best selection of its size."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.data import Tables
from sparsebench.charts.style import (
    drawn,
    gap_note,
    length_label,
    method_look,
    notice,
    panel_width,
    phase_title,
    picker,
    sparsity_axis,
    stacked,
    with_budget,
    with_gaps,
)

NAME = "gap_to_oracle"
TITLE = "Gap to the oracle"
CAPTION = (
    "Score minus the oracle's at the same phase and sparsity, paired by sample, on the tasks with signal. The "
    "dashed line at zero is the oracle, which picks by true attention mass; dashed light grey is random choice, "
    "the other control. What lies between is what a better estimate of importance could still win. Bars are 95 % "
    "intervals of the paired difference. n is the number of pairs, in the tooltips."
)

COLUMNS = (
    "phase",
    "method",
    "task",
    "length",
    "length_tok",
    "sparsity",
    "budget",
    "oracle_gap",
    "oracle_gap_low",
    "oracle_gap_high",
    "n",
)


def build(tables: Tables) -> Any:
    """One block of panels per model and phase that has an oracle."""
    every = tables.accuracy["method"].unique().to_list()
    known = tables.accuracy.filter(
        pl.col("signal") & pl.col("oracle_gap").is_not_null() & ~pl.col("method").str.starts_with("oracle")
    )
    shown = known["method"].unique().to_list()
    parts = [
        _panels(model, phase, lines, every, shown)
        for model in known["model"].unique().sort()
        for phase in ("prefill", "decode", "both")
        if (lines := known.filter((pl.col("model") == model) & (pl.col("phase") == phase))).height
    ]
    return stacked(parts or [notice("No oracle was run on a task with signal: there is no gap to show.")])


def _panels(model: str, phase: str, lines: pl.DataFrame, every: list[str], shown: list[str]) -> Any:
    frame = with_budget(lines).with_columns(length=length_label())
    lengths = frame.sort("length_tok")["length"].unique(maintain_order=True).to_list()
    look = method_look(every, shown)
    opacity, pick = picker()
    base = alt.Chart().transform_filter(alt.datum.phase == phase).encode(sparsity_axis(frame["sparsity"]))
    lowest = min(-0.25, float(frame["oracle_gap_low"].min()))  # type: ignore[arg-type]
    highest = max(0.1, float(frame["oracle_gap_high"].max()))  # type: ignore[arg-type]
    scale = alt.Scale(domain=[lowest, highest])
    y = alt.Y("oracle_gap:Q", title="score minus oracle", scale=scale, axis=alt.Axis(format="+.1f", tickCount=5))
    low, high = alt.Y("oracle_gap_low:Q", title="score minus oracle", scale=scale), alt.Y2("oracle_gap_high:Q")
    flat = {"color": look["color"], "opacity": opacity}
    tips = [
        "method:N",
        "task:N",
        "length_tok:Q",
        "sparsity:Q",
        alt.Tooltip("oracle_gap:Q", format="+.3f", title="minus oracle"),
        alt.Tooltip("oracle_gap_low:Q", format="+.3f", title="95 % from"),
        alt.Tooltip("oracle_gap_high:Q", format="+.3f", title="95 % to"),
        alt.Tooltip("n:Q", title="n"),
    ]
    width, height = panel_width(len(lengths)), 150
    layers = alt.layer(
        pick(base.mark_rule(strokeWidth=1.2).encode(y=low, y2=high, **flat, tooltip=tips)),
        alt.Chart().mark_rule(color="#555", strokeDash=[5, 3]).encode(y=alt.datum(0, scale=scale)),
        base.mark_line(strokeWidth=1.8).encode(y=y, strokeDash=look["strokeDash"], **flat),
        base.mark_point(filled=True, size=48).encode(y=y, shape=look["shape"], **flat, tooltip=tips),
        gap_note("not run, or no signal", width, height),
        data=drawn(with_gaps(frame, "task"), *COLUMNS),
    ).properties(width=width, height=height)
    return layers.facet(
        row=alt.Row("task:N", title=None, header=alt.Header(labelOrient="top", labelAnchor="start", labelPadding=2)),
        column=alt.Column("length:N", sort=lengths, title=None),
        title=phase_title(model, phase),
    )
