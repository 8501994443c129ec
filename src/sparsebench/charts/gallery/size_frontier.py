"""Accuracy against the cost of the whole model, all sizes together."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.curves import Measure, Methods, interval_tips, tip
from sparsebench.charts.data import Nothing, Tables
from sparsebench.charts.style import PHASE_WORDS, drawn, length_label, lengths_of, panel_width, stacked
from sparsebench.stats.configuration import DENSE

NAME = "size_frontier"
TITLE = "Accuracy versus the cost of the whole model, all sizes"
NEEDS = ("accuracy", "frontier", "models")
CAPTION = (
    "Mean over the tasks with signal for any model against the cost of the whole model, weights and selection "
    "included: FLOPs of a prompt where prefill is sparse, bytes read per token where decode is. Shapes are models, "
    "black points are dense. The thick grey line is the best accuracy that the Pareto set of all models buys up to "
    "each cost, the band its 95 % interval. Where a sparse point of a larger model lies above the dense point of a "
    "smaller one at the same cost, sparsity beats size. Controls are left out. Names, intervals and n are in the "
    "tooltips."
)

COLUMNS = (
    "model method name sparsity length length_tok cost accuracy accuracy_low accuracy_high kept member "
    "member_probability tasks n"
)
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-left", "triangle-right")
UNITS = {"prefill": "FLOP per prompt", "decode": "bytes read per token", "both": "FLOP equivalents per answer"}
ACCURACY = Measure("accuracy", "mean accuracy", (0, 1), "%")


def build(tables: Tables) -> Any:
    """One row of panels, by length, per phase."""
    lines = tables.frontier.filter(~pl.col("control"))
    if lines["model"].n_unique() < 2:
        return Nothing("No second model was scored: there are no sizes to compare.")
    sizes = dict(tables.models.select("model", "parameters").iter_rows())
    models = sorted(lines["model"].unique(), key=lambda m: (sizes.get(m, 0), m))
    methods = Methods(tables.methods, lines["method"].unique().to_list())
    parts = [(phase, lines.filter(phase=phase)) for phase in PHASE_WORDS]
    return stacked([_panels(phase, part, methods, models) for phase, part in parts if part.height])


def _panels(phase: str, lines: pl.DataFrame, methods: Methods, models: list[str]) -> Any:
    at = pl.when(pl.col("method") == DENSE).then(pl.lit("")).otherwise(pl.format(" at {}", "sparsity"))
    frame = lines.with_columns(length=length_label(), name=pl.format("{}: {}{}", "model", "method", at))
    x = alt.X(
        "cost:Q",
        title=f"cost, {UNITS[phase]}",
        scale=alt.Scale(type="log", nice=False, padding=14),
        axis=alt.Axis(format="~s", grid=False, tickCount=6),
    )
    picked = alt.selection_point(fields=["method"], bind="legend", name="picked")
    sized = alt.selection_point(fields=["model"], bind="legend", name="sized")
    opacity = alt.condition(picked & sized, alt.value(1.0), alt.value(0.1))
    legend = alt.Legend(
        title="model (click to pick)", orient="top", columns=4, symbolFillColor="#777", symbolStrokeWidth=0
    )
    shape = alt.Shape("model:N", scale=alt.Scale(domain=models, range=_cycled(len(models))), legend=legend)
    colour = methods.encode("color")
    tips = [
        tip("name:N", "configuration"),
        tip("length_tok"),
        tip("cost", UNITS[phase], ".3s"),
        *interval_tips("accuracy", "accuracy", ".3f"),
        tip("kept", "kept of its dense", ".1%"),
        tip("member_probability", "on the frontier", ".0%"),
        tip("tasks:N"),
        tip("n"),
    ]
    base = alt.Chart().encode(x=x)
    bars = base.mark_rule(strokeWidth=1, strokeOpacity=0.45).encode(
        color=colour, opacity=opacity, tooltip=tips, **ACCURACY.ends
    )
    members = base.transform_filter(alt.datum.member)
    band = members.mark_area(color="#000", opacity=0.08, interpolate="step-after").encode(**ACCURACY.ends)
    front = members.mark_line(color="#000", opacity=0.25, strokeWidth=5, interpolate="step-after")
    curves = base.transform_filter(alt.datum.method != DENSE).mark_line(strokeWidth=1.3)
    points = base.mark_point(filled=True, size=58).encode(
        y=ACCURACY.place, color=colour, shape=shape, opacity=opacity, tooltip=tips
    )
    dense = points.transform_filter(alt.datum.method == DENSE).mark_point(filled=True, size=170)
    panel = alt.layer(
        bars.properties(name="first").add_params(picked, sized),
        band,
        front.encode(y=ACCURACY.place),
        curves.encode(y=ACCURACY.place, color=colour, opacity=opacity, detail="model:N", order="cost:Q"),
        points,
        dense,
        data=drawn(frame, COLUMNS),
    ).properties(width=panel_width(frame["length"].n_unique()), height=260)
    return panel.facet(
        column=alt.Column("length:N", sort=lengths_of(frame), title=None), title=PHASE_WORDS[phase]
    ).resolve_scale(x="independent")


def _cycled(count: int) -> list[str]:
    return [SHAPES[i % len(SHAPES)] for i in range(count)]
