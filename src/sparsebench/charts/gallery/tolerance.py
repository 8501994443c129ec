"""How much attention each method can skip on each task before dense accuracy suffers."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.data import Tables
from sparsebench.charts.palette import looks
from sparsebench.charts.style import length_label, notice, phase_title, stacked
from sparsebench.stats.tolerance import PLACE, tolerance_table

NAME = "tolerance"
TITLE = "Tolerated sparsity"
CAPTION = (
    "Highest sparsity up to which a method keeps at least 95 % of the dense score (large figure and shade), and up to "
    "which the lower end of the paired 95 % interval says so too ('sure'); every lower sparsity that was run holds as "
    "well. '<' says that it fails at the lowest sparsity run, '≥' that it holds at the highest. With few samples "
    "little is sure: n is in the tooltips. The last row of each panel is the worst task. Oracle and random are "
    "controls. Tasks without signal are left out."
)

WORST = "worst task"


def build(tables: Tables) -> Any:
    """One block per model and phase: methods across, tasks down, a panel per length."""
    table = pl.DataFrame(pl.from_arrow(tolerance_table(tables.accuracy.to_arrow())))
    levels = tables.accuracy.filter(pl.col("phase") != "dense")["sparsity"].unique().sort().to_list()
    lowest = tables.accuracy.group_by(*PLACE, "task").agg(least=pl.col("sparsity").min(), most=pl.col("sparsity").max())
    table = table.join(lowest, on=[*PLACE, "task"], how="left")
    parts = [
        _panels(model, phase, lines, levels)
        for model in table["model"].unique().sort()
        for phase in ("prefill", "decode", "both")
        if (lines := table.filter((pl.col("model") == model) & (pl.col("phase") == phase))).height
    ]
    return stacked(parts or [notice("No task has a dense score clearly above chance: nothing can be lost.")])


def _panels(model: str, phase: str, lines: pl.DataFrame, levels: list[float]) -> Any:
    methods = list(looks(lines["method"]))
    tasks = lines["task"].unique().sort().to_list()
    summary = lines.filter("worst").with_columns(task=pl.lit(WORST)) if len(tasks) > 1 else lines.clear()
    frame = pl.concat([lines, summary]).with_columns(
        length=length_label(),
        label=_words("by_mean"),
        sure="sure: " + _words("tolerance"),
        # Rank among the sparsities of the run; methods that hold at none of theirs come before the first.
        rank=pl.col("by_mean").replace_strict({s: i + 1 for i, s in enumerate(levels)}, default=0),
    )
    lengths = frame.sort("length_tok")["length"].unique(maintain_order=True).to_list()
    order = [*tasks, WORST] if len(tasks) > 1 else tasks
    base = alt.Chart().encode(
        x=alt.X("method:N", sort=methods, title=None, axis=alt.Axis(labelAngle=-35, labelLimit=170, domain=False)),
        y=alt.Y("task:N", sort=order, title=None, axis=alt.Axis(domain=False, labelLimit=220)),
    )
    tips = [
        "method:N",
        "task:N",
        "length_tok:Q",
        alt.Tooltip("label:N", title="tolerated sparsity"),
        alt.Tooltip("tolerance:Q", title="by the lower end"),
        alt.Tooltip("kept:Q", format=".1%", title="kept there"),
        alt.Tooltip("kept_low:Q", format=".1%", title="95 % from"),
        alt.Tooltip("kept_high:Q", format=".1%", title="95 % to"),
        alt.Tooltip("next_sparsity:Q", title="fails at"),
        alt.Tooltip("n:Q", title="n"),
    ]
    scale = alt.Scale(domain=[0, len(levels)], range=["#f4f4f4", "#c6dbef", "#6baed6", "#2171b5", "#08306b"])
    colour = alt.Color("rank:Q", scale=scale, legend=None)
    dark = alt.condition(f"datum.rank > {len(levels) / 2}", alt.value("white"), alt.value("#222"))
    return (
        alt.layer(
            base.mark_rect(stroke="white", strokeWidth=2).encode(color=colour, tooltip=tips),
            base.mark_text(fontSize=13, dy=-6).encode(text="label:N", color=dark, tooltip=tips),
            base.mark_text(fontSize=9, dy=9).encode(text="sure:N", color=dark, tooltip=tips),
            data=frame,
        )
        .properties(width={"step": max(62, 120 // len(methods))}, height={"step": 36})
        .facet(
            column=alt.Column("length:N", sort=lengths, title=None),
            title=phase_title(model, phase),
        )
    )


def _words(column: str) -> pl.Expr:
    """A tolerated sparsity; `<` the lowest run where there is none, `≥` where it is the highest run."""
    level = pl.col(column).round(4).cast(pl.String)
    return (
        pl.when(pl.col(column).is_null())
        .then("<" + pl.col("least").round(4).cast(pl.String))
        .when(pl.col(column) == pl.col("most"))
        .then("≥" + level)
        .otherwise(level)
    )
