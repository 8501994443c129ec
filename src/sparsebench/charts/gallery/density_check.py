"""Whether each method spends the budget that it was given."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.curves import Measure, Methods, method_curves, rows_and_columns, tip
from sparsebench.charts.data import Nothing, Tables
from sparsebench.charts.style import (
    blocks,
    drawn,
    length_label,
    panel_width,
    phase_title,
    sparsity_axis,
    stacked,
    with_budget,
)

NAME = "density_check"
TITLE = "Budget asked for and spent"
NEEDS = ("accuracy",)
CAPTION = (
    "Measured density over target density (one minus sparsity): the share of causal query-key pairs computed in "
    "prefill, of prompt KV entries read per step in decode, in the sparse layers. At 1 a method spends just what "
    "it was given; above, more. Points are means over tasks, bars run from the lowest to the highest task. Cost "
    "in the other charts is the measured density, so a method gains nothing by overspending. Numbers of tasks and "
    "samples are in the tooltips."
)

COLUMNS = "method sparsity length length_tok budget target measured lowest highest ratio ratio_low ratio_high tasks n"
RATIO = Measure("ratio", "measured / target")


def build(tables: Tables) -> Any:
    """One row of panels, by length, per model and phase."""
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
        .with_columns(
            ratio=pl.col("measured") / pl.col("target"),
            ratio_low=pl.col("lowest") / pl.col("target"),
            ratio_high=pl.col("highest") / pl.col("target"),
        )
        .sort("model", "length_tok", "method", "sparsity")
    )
    if known.is_empty():
        return Nothing("No sparse configuration has been scored yet.")
    methods = Methods(tables.methods, known["method"].unique().to_list())
    return stacked(blocks(known, lambda model, phase, lines: _panels(phase_title(model, phase), lines, methods)))


def _panels(title: str, lines: pl.DataFrame, methods: Methods) -> Any:
    frame = with_budget(lines)
    y = RATIO.spanning(frame, 0, 1.5)
    tips = [
        tip("method:N"),
        tip("sparsity"),
        tip("length_tok"),
        tip("target", "target density", ".3f"),
        tip("measured", "measured density", ".4f"),
        tip("lowest", "lowest task", ".4f"),
        tip("highest", "highest task", ".4f"),
        tip("tasks"),
        tip("n"),
    ]
    one = alt.Chart().mark_rule(color="#777").encode(y=alt.datum(1, scale=y.scale))
    layers = method_curves(sparsity_axis(frame["sparsity"]), y, methods, tips, under=lambda _: [one])
    width = panel_width(frame["length"].n_unique())
    panel = alt.layer(*layers, data=drawn(frame, COLUMNS)).properties(width=width, height=170)
    return rows_and_columns(panel, frame, None, title)
