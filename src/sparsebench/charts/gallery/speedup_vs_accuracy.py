"""What a measured speed-up costs in accuracy."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.curves import Measure, Methods, interval_tips, method_curves, tip
from sparsebench.charts.data import Nothing, Tables
from sparsebench.charts.style import blocks, drawn, panel_width, phase_title, stacked
from sparsebench.charts.timed import timed

NAME = "speedup_vs_accuracy"
TITLE = "Speed-up versus accuracy kept"
NEEDS = ("accuracy", "frontier", "measurements")
CAPTION = (
    "Across: how many times as fast as the fastest dense backend, measured at the same method and sparsity, selection "
    "included; left of the grey line sparse attention is slower. Up: share of dense accuracy kept, mean over the tasks "
    "with signal, with its paired 95 % interval. Each panel names both sides, since time is often measured on another "
    "device and length than accuracy: then read it as what could be gained there if accuracy carried over. n and the "
    "measured densities of both sides are in the tooltips."
)

COLUMNS = "method sparsity panel speedup kept kept_low kept_high attention_share density n"
FINE = (1, 1.2, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)
KEPT = Measure("kept", "kept of dense", format="%")


def build(tables: Tables) -> Any:
    """One row of panels per model and phase: one per kind and device of measurement, at its longest length."""
    pairs = paired(tables.frontier, tables.measurements)
    if pairs.is_empty():
        return Nothing("No method was both timed and scored at the same sparsity.")
    methods = Methods(sorted({*tables.methods}), pairs["method"].unique().to_list())
    return stacked(blocks(pairs, lambda model, phase, lines: _panels(phase_title(model, phase), lines, methods)))


def paired(frontier: pl.DataFrame, measurements: pl.DataFrame) -> pl.DataFrame:
    """Lines of both tables at the same method, phase and sparsity.

    Where a model was itself timed in that phase, at a length at which it was scored, that is used. Else every model
    that was timed, at the longest length on either side.
    """
    kept = frontier.filter(pl.col("kept").is_not_null() & (pl.col("method") != "dense"))
    times = timed(measurements).rename({"length_tok": "timed_tok", "model": "timed_model"})
    times = times.with_columns(pl.col("sparsity").round(6)).select(
        "kind", "device", "timed_model", "phase", "method", "timed_tok", "sparsity", "density", "rows", "speedup"
    )
    both = kept.with_columns(pl.col("sparsity").round(6)).join(times, on=["phase", "method", "sparsity"])
    same = (pl.col("model") == pl.col("timed_model")) & (pl.col("length_tok") == pl.col("timed_tok"))
    both = both.filter(same | ~same.any().over("model", "phase"))
    place = ["model", "phase", "kind", "device", "timed_model", "rows"]
    return both.filter(
        pl.col("timed_tok") == pl.col("timed_tok").max().over(place),
    ).filter(pl.col("length_tok") == pl.col("length_tok").max().over(place))


def _marks(ends: list[float]) -> list[float]:
    """1, 2, 5 of each decade, or more of them where the range is short."""
    for steps in ((1, 2, 5), FINE):
        every = [round(step * 10.0**decade, 3) for decade in range(-2, 3) for step in steps]
        marks = [mark for mark in every if min(ends) / 1.3 <= mark <= max(ends) * 1.3]
        if len(marks) > 2:
            break
    return marks


def _panels(title: str, lines: pl.DataFrame, methods: Methods) -> Any:
    tokens = pl.col("timed_tok").map_elements(lambda n: f"{n:,}", pl.String)
    scored = pl.col("length_tok").map_elements(lambda n: f"{n:,}", pl.String)
    frame = lines.with_columns(
        panel=pl.format(
            "time: {}, {} {}, {} tokens|accuracy: {} tokens", "device", "kind", "timed_model", tokens, scored
        )
    )
    panels = frame["panel"].unique().sort().to_list()
    ends = [1.0, *frame["speedup"]]
    scale = alt.Scale(type="log", domain=[min(ends) / 1.3, max(ends) * 1.3], nice=False)
    marks = _marks(ends)
    x = alt.X(
        "speedup:Q",
        title="times as fast as dense",
        scale=scale,
        axis=alt.Axis(values=marks, labelExpr="datum.value + 'x'", grid=False),
    )
    tips = [
        tip("method:N"),
        tip("sparsity"),
        tip("speedup", "times as fast as dense", ".2f"),
        *interval_tips("kept", "kept of dense", ".1%"),
        tip("attention_share", "density, scored", ".3f"),
        tip("density", "density, timed", ".3f"),
        tip("n"),
    ]
    one = alt.Chart().mark_rule(color="#999").encode(x=alt.datum(1, scale=scale))
    layers = method_curves(x, KEPT.spanning(frame, 0, 1), methods, tips, under=lambda _: [one], order="sparsity:Q")
    header = alt.Header(labelExpr="split(datum.value, '|')", labelFontWeight="normal", labelFontSize=11, labelLimit=600)
    panel = alt.layer(*layers, data=drawn(frame, COLUMNS))
    return panel.properties(width=panel_width(len(panels), most=480, least=300), height=240).facet(
        facet=alt.Facet("panel:N", sort=panels, title=None, header=header), columns=2, title=title
    )
