"""How much attention each method can skip on each task before dense accuracy suffers."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.curves import cells, interval_tips, tip
from sparsebench.charts.data import Nothing, Tables
from sparsebench.charts.palette import looks
from sparsebench.charts.style import blocks, drawn, length_label, lengths_of, phase_title, stacked
from sparsebench.stats.configuration import DENSE

NAME = "tolerance"
TITLE = "Tolerated sparsity"
NEEDS = ("accuracy", "tolerance")
CAPTION = (
    "Highest sparsity up to which a method keeps at least the share of the dense score that the heading names (large "
    "figure and shade), and up to which the lower end of the paired 95 % interval says so too ('sure'); every lower "
    "sparsity that was run holds as well. '<' says that it fails at the lowest sparsity run, '≥' that it holds at the "
    "highest. With few samples little is sure: n is in the tooltips. The last row of each panel is the worst task by "
    "the large figure. Oracle and random are controls. A task without signal at any length is left out."
)

WORST = "worst task"
COLUMNS = "method task length length_tok label sure rank tolerance kept kept_low kept_high next_sparsity n"


def build(tables: Tables) -> Any:
    """One block per model and phase: methods across, tasks down, a panel per length."""
    if tables.tolerance.is_empty():
        return Nothing("No task has a dense score clearly above chance: nothing can be lost.")
    levels = tables.accuracy.filter(pl.col("phase") != DENSE)["sparsity"].unique().sort().to_list()
    place = ["model", "length_tok", "phase", "method", "task"]
    run = tables.accuracy.group_by(place).agg(least=pl.col("sparsity").min(), most=pl.col("sparsity").max())
    dense = tables.accuracy.filter(pl.col("phase") == DENSE).select("model", "task", "length_tok").unique()
    table = tables.tolerance.join(run, on=place, how="left")

    def draw(model: str, phase: str, lines: pl.DataFrame) -> Any:
        title = f"{phase_title(model, phase)}: sparsity at which {tables.share:.0%} of dense is kept"
        return _panels(title, lines, dense.filter(pl.col("model") == model), levels)

    return stacked(blocks(table, draw))


def _panels(title: str, lines: pl.DataFrame, dense: pl.DataFrame, levels: list[float]) -> Any:
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
    silent = frame.select("task").unique().join(frame.select("length", "length_tok").unique(), how="cross")
    silent = silent.join(frame, on=["task", "length"], how="anti")
    silent = silent.join(dense, on=["task", "length_tok"], how="left").with_columns(
        label=pl.when(pl.col("model").is_null()).then(pl.lit("not run")).otherwise(pl.lit("no signal")),
        sure=pl.lit(""),
    )
    frame = pl.concat(
        [frame, silent.with_columns(method=pl.lit(methods[(len(methods) - 1) // 2]))], how="diagonal_relaxed"
    )
    order = [*tasks, WORST] if len(tasks) > 1 else tasks
    lengths = lengths_of(frame)
    columns = max(1, min(len(lengths), 15 // len(methods)))
    base = alt.Chart().encode(
        x=alt.X("method:N", sort=methods, title=None, axis=alt.Axis(labelAngle=-35, labelLimit=170, domain=False)),
        y=alt.Y("task:N", sort=order, title=None, axis=alt.Axis(domain=False, labelLimit=220)),
    )
    tips = [
        tip("method:N"),
        tip("task:N"),
        tip("length_tok"),
        tip("label:N", "tolerated sparsity"),
        tip("tolerance", "by the lower end"),
        *interval_tips("kept", "kept there", ".1%"),
        tip("next_sparsity", "fails at"),
        tip("n"),
    ]
    scale = alt.Scale(domain=[0, len(levels)], range=["#f4f4f4", "#c6dbef", "#6baed6", "#2171b5", "#08306b"])
    ink = alt.condition(f"datum.rank > {len(levels) / 2}", alt.value("white"), alt.value("#222"))
    shade = alt.Color("rank:Q", scale=scale, legend=None)
    return (
        alt.layer(*cells(base, shade, ink, tips, "label:N", "sure:N"), data=drawn(frame, COLUMNS))
        .properties(width={"step": max(62, min(84, 940 // (columns * len(methods))))}, height={"step": 36})
        .facet(facet=alt.Facet("length:N", sort=lengths, title=None), columns=columns)
        .properties(title=title)
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
