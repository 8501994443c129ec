"""How much sparsity longer prompts bear, and whether a budget must grow with them."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.curves import Measure, Methods, interval_tips, method_curves, tip
from sparsebench.charts.data import Nothing, Tables
from sparsebench.charts.palette import looks
from sparsebench.charts.style import apart, blocks, drawn, length_axis, phase_title, stacked

NAME = "adaptivity"
TITLE = "Fixed and growing budgets"
NEEDS = ("accuracy", "adaptivity")
CAPTION = (
    "Above: the sparsity at which a method falls below the share of dense that must be kept (means over the tasks "
    "with signal at every length), against prompt length, with 95 % intervals, without a side that reaches beyond the "
    "sparsities run; hollow points are bounds: the highest sparsity run where the method holds at all, the lowest "
    "where it holds at none. Below: what is kept at each length by the budget that just sufficed at the shortest one, "
    "kept as the same share of the prompt (blue) or as the same number of tokens (orange). Where orange falls, a fixed "
    "budget of tokens does not do; where both stay level, it does; where it ends, that budget is below all that were "
    "run. n is in the tooltips."
)

TOLERATED = Measure("at", "tolerated sparsity", (0, 1), ".1f")
COLUMNS = (
    "method length_tok place at at_low at_high tolerated tolerated_low tolerated_high bound budget_tok share growth "
    "growth_low growth_high n"
)
RULES = {"kept_same_share": "same share of the prompt", "kept_same_tokens": "same number of tokens"}
COLOURS = ["#0072B2", "#E69F00"]


def build(tables: Tables) -> Any:
    """Two rows of panels per model and phase, from the lines over all tasks."""
    lines = tables.adaptivity.filter((pl.col("task") == "all") & (pl.col("n_lengths") > 1))
    if lines.is_empty():
        return Nothing("No task with signal was run at every length, of two or more: there is no trend to show.")
    methods = Methods(tables.methods, lines["method"].unique().to_list())

    def draw(model: str, phase: str, part: pl.DataFrame) -> list[Any]:
        title = phase_title(model, phase)
        return [_tolerated(title, part, methods), *_rules(title, part.filter(~pl.col("control")))]

    return stacked([chart for pair in blocks(lines, draw) for chart in pair])


def _tolerated(title: str, lines: pl.DataFrame, methods: Methods) -> Any:
    frame = lines.with_columns(
        place=pl.col("length_tok").cast(pl.Float64),
        at=pl.col("tolerated"),
        # A bar needs two ends: where one is not known, it ends at the point.
        at_low=pl.coalesce("tolerated_low", "tolerated"),
        at_high=pl.coalesce("tolerated_high", "tolerated"),
    )
    frame = apart(frame, "place", 0.12)
    tips = [
        tip("method:N"),
        tip("length_tok"),
        *interval_tips("tolerated", "tolerated sparsity", ".3f"),
        tip("bound:N"),
        tip("budget_tok", "tokens left", ",.0f"),
        *interval_tips("growth", "growth exponent", ".2f"),
        tip("n"),
    ]
    layers = method_curves(length_axis(frame["length_tok"], "place"), TOLERATED, methods, tips)
    hollow = (
        alt.Chart()
        .transform_filter(alt.datum.bound != "exact")
        .mark_point(filled=True, size=14, color="white")
        .encode(x="place:Q", y=TOLERATED.place)
    )
    return alt.layer(*layers, hollow, data=drawn(frame, COLUMNS)).properties(width=560, height=230, title=title)


def _rules(title: str, lines: pl.DataFrame) -> list[Any]:
    parts = [
        lines.select(
            "method",
            "length_tok",
            "n",
            "share",
            rule=pl.lit(words),
            kept=pl.col(column),
            kept_low=pl.col(f"{column}_low"),
            kept_high=pl.col(f"{column}_high"),
        )
        for column, words in RULES.items()
    ]
    frame = pl.concat(parts).filter(pl.col("kept").is_not_null())
    if frame.is_empty():
        return []
    kept = Measure("kept", "kept of dense", format="%").spanning(frame, 0.0, 1.0)
    # Stroke, not colour: the scale of colours belongs to the methods.
    colour = alt.Stroke(
        "rule:N",
        scale=alt.Scale(domain=list(RULES.values()), range=COLOURS),
        legend=alt.Legend(title="budget of the shortest length, kept as", orient="top", titleLimit=400),
    )
    tips = [tip("method:N"), tip("rule:N"), tip("length_tok"), *interval_tips("kept", "kept of dense", ".1%"), tip("n")]
    base = alt.Chart().encode(x=length_axis(frame["length_tok"]), stroke=colour)
    order = list(looks(frame["method"]))
    panel = alt.layer(
        base.mark_rule(strokeWidth=1.2).encode(**kept.ends, tooltip=tips),
        base.mark_line(strokeWidth=1.8).encode(y=kept.place),
        base.mark_point(size=48, fill="white", opacity=1).encode(y=kept.place, tooltip=tips),
        data=drawn(frame),
    ).properties(width=190, height=140)
    facet = alt.Facet("method:N", sort=order, title=None)
    return [panel.facet(facet=facet, columns=4, title=f"{title}: what the budget of the shortest length keeps")]
