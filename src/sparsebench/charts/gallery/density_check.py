"""Whether each method spends the budget that it was given."""

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
    sparsity_axis,
    stacked,
    with_budget,
)

NAME = "density_check"
TITLE = "Budget asked for and spent"
CAPTION = (
    "Measured density over target density (one minus sparsity): the share of causal query-key pairs computed in "
    "prefill, of prompt KV entries read per step in decode, in the sparse layers. At 1 a method spends just what "
    "it was given; above, more. Points are means over tasks, bars run from the lowest to the highest task. Cost "
    "in the other charts is the measured density, so a method gains nothing by overspending. Numbers of tasks and "
    "samples are in the tooltips."
)

COLUMNS = (
    "method",
    "sparsity",
    "length",
    "length_tok",
    "budget",
    "target",
    "measured",
    "lowest",
    "highest",
    "ratio",
    "ratio_low",
    "ratio_high",
    "tasks",
    "n",
)


def build(tables: Tables) -> Any:
    """One row of panels, by length, per model and phase."""
    every = tables.accuracy["method"].unique().to_list()
    known = (
        tables.accuracy.filter(pl.col("phase").is_in(["prefill", "decode"]))
        .group_by("model", "phase", "length_tok", "method", "sparsity")
        .agg(
            measured=pl.col("attention_share").mean(),
            lowest=pl.col("attention_share").min(),
            highest=pl.col("attention_share").max(),
            tasks=pl.col("task").n_unique(),
            n=pl.col("n").sum(),
        )
        .with_columns(target=1 - pl.col("sparsity"), length=length_label())
        .with_columns(ratio=pl.col("measured") / pl.col("target"))
        .with_columns(ratio_low=pl.col("lowest") / pl.col("target"), ratio_high=pl.col("highest") / pl.col("target"))
        .sort("model", "length_tok", "method", "sparsity")
    )
    shown = known["method"].unique().to_list()
    parts = [
        _panels(model, phase, lines, every, shown)
        for model in known["model"].unique().sort()
        for phase in ("prefill", "decode")
        if (lines := known.filter((pl.col("model") == model) & (pl.col("phase") == phase))).height
    ]
    return stacked(parts or [notice("No sparse configuration has been scored yet.")])


def _panels(model: str, phase: str, lines: pl.DataFrame, every: list[str], shown: list[str]) -> Any:
    frame = with_budget(lines)
    lengths = frame.sort("length_tok")["length"].unique(maintain_order=True).to_list()
    look = method_look(every, shown)
    opacity, pick = picker()
    most = max(1.5, float(frame["ratio_high"].max()) * 1.05)  # type: ignore[arg-type]
    scale = alt.Scale(domain=[0, most])
    y = alt.Y("ratio:Q", title="measured / target", scale=scale, axis=alt.Axis(tickCount=5))
    low, high = alt.Y("ratio_low:Q", title="measured / target", scale=scale), alt.Y2("ratio_high:Q")
    flat = {"color": look["color"], "opacity": opacity}
    tips = [
        "method:N",
        "sparsity:Q",
        "length_tok:Q",
        alt.Tooltip("target:Q", format=".3f", title="target density"),
        alt.Tooltip("measured:Q", format=".4f", title="measured density"),
        alt.Tooltip("lowest:Q", format=".4f", title="lowest task"),
        alt.Tooltip("highest:Q", format=".4f", title="highest task"),
        alt.Tooltip("tasks:Q"),
        alt.Tooltip("n:Q", title="n"),
    ]
    base = alt.Chart().encode(sparsity_axis(frame["sparsity"]))
    layers = alt.layer(
        pick(base.mark_rule().encode(y=low, y2=high, **flat, tooltip=tips)),
        alt.Chart().mark_rule(color="#777").encode(y=alt.datum(1, scale=scale)),
        base.mark_line(strokeWidth=1.4).encode(y=y, strokeDash=look["strokeDash"], **flat),
        base.mark_point(filled=True, size=55).encode(y=y, shape=look["shape"], **flat, tooltip=tips),
        data=drawn(frame, *COLUMNS),
    ).properties(width=panel_width(len(lengths)), height=170)
    return layers.facet(column=alt.Column("length:N", sort=lengths, title=None), title=phase_title(model, phase))
