"""Accuracy against sparsity, a panel per task and length."""

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
    share_axis,
    sparsity_axis,
    stacked,
    with_budget,
    with_gaps,
)

NAME = "accuracy_vs_sparsity"
TITLE = "Accuracy versus sparsity"
CAPTION = (
    "Mean score per task (rows) and prompt length (columns) at each target sparsity, prefill and decode apart. "
    "Bars are 95 % Wilson intervals of the mean; points of one sparsity stand a little apart so that bars can be "
    "told from each other. The black line is dense attention, the grey band its interval. Dashed grey: the "
    "controls; the oracle picks by true attention mass, random picks blindly. Rows marked 'no signal' have a "
    "dense score too close to chance to lose anything. n is in the tooltips."
)

COLUMNS = (
    "phase",
    "method",
    "task",
    "panel",
    "length",
    "length_tok",
    "sparsity",
    "budget",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "difference",
    "attention_share",
    "n",
)


def build(tables: Tables) -> Any:
    """One block of panels per model and phase."""
    every = tables.accuracy["method"].unique().to_list()
    parts = [
        _panels(model, phase, lines, every)
        for (model, phase), lines in _by_phase(tables.accuracy)
        if lines.filter(pl.col("phase") != "dense").height
    ]
    return stacked(parts or [notice("No sparse configuration has been scored yet.")])


def _by_phase(accuracy: pl.DataFrame) -> list[tuple[tuple[str, str], pl.DataFrame]]:
    return [
        ((model, phase), accuracy.filter((pl.col("model") == model) & pl.col("phase").is_in(["dense", phase])))
        for model in accuracy["model"].unique().sort()
        for phase in ("prefill", "decode", "both")
    ]


def _panels(model: str, phase: str, lines: pl.DataFrame, every: list[str]) -> Any:
    mark = pl.when("signal").then(pl.col("task")).otherwise(pl.col("task") + " (no signal)")
    frame = with_budget(lines).with_columns(panel=mark, length=length_label())
    sparse = frame.filter(pl.col("phase") == phase)
    lengths = frame.sort("length_tok")["length"].unique(maintain_order=True).to_list()
    look = method_look(every, every)
    opacity, pick = picker()
    base = alt.Chart().transform_filter(alt.datum.phase == phase).encode(sparsity_axis(sparse["sparsity"]))
    y = share_axis("accuracy:Q", "accuracy")
    flat = {"color": look["color"], "opacity": opacity}
    dense = alt.Chart().transform_filter(alt.datum.phase == "dense")
    low, high = alt.Y("accuracy_low:Q", title="accuracy"), alt.Y2("accuracy_high:Q")
    tips = [
        "method:N",
        "task:N",
        "length_tok:Q",
        "sparsity:Q",
        alt.Tooltip("accuracy:Q", format=".3f"),
        alt.Tooltip("accuracy_low:Q", format=".3f", title="95 % from"),
        alt.Tooltip("accuracy_high:Q", format=".3f", title="95 % to"),
        alt.Tooltip("difference:Q", format="+.3f", title="minus dense"),
        alt.Tooltip("attention_share:Q", format=".3f", title="measured density"),
        alt.Tooltip("n:Q", title="n"),
    ]
    width, height = panel_width(len(lengths)), 150
    layers = alt.layer(
        pick(base.mark_rule(strokeWidth=1.2).encode(y=low, y2=high, **flat, tooltip=tips)),
        dense.mark_rect(color="#000", opacity=0.09).encode(y=low, y2=high),
        dense.mark_rule(strokeWidth=1.5).encode(y=y, **flat, tooltip=tips),
        base.mark_line(strokeWidth=1.8).encode(y=y, strokeDash=look["strokeDash"], **flat),
        base.mark_point(filled=True, size=48).encode(y=y, shape=look["shape"], **flat, tooltip=tips),
        gap_note("not run", width, height),
        data=drawn(with_gaps(frame, "panel"), *COLUMNS),
    ).properties(width=width, height=height)
    return layers.facet(
        row=alt.Row("panel:N", title=None, header=alt.Header(labelOrient="top", labelAnchor="start", labelPadding=2)),
        column=alt.Column("length:N", sort=lengths, title=None),
        title=phase_title(model, phase),
    )
