"""Whether accuracy follows from size, length and budget: what a fit predicts against what was seen."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.curves import Methods, interval_tips, picking, tip
from sparsebench.charts.data import Nothing, Tables
from sparsebench.charts.palette import looks
from sparsebench.charts.style import PHASE_WORDS, drawn, panel_width, stacked

NAME = "scaling"
TITLE = "Predicted and observed accuracy"
NEEDS = ("accuracy", "scaling", "scaling_points")
CAPTION = (
    "Each point is a model, task, length and sparsity; the fit predicts its accuracy from log size, log length and log "
    "1/budget. Filled points were held out: the fit has not seen them. On the diagonal the prediction is right; bars "
    "are 95 % intervals of the observed mean. The text in a panel gives the root mean square error over the cells "
    "held out, that of a guess (each task's mean), and the error that samples alone would cause: a fit "
    "that predicts lies near the last. n is in the tooltips."
)

COLUMNS = "method model task length_tok sparsity panel observed observed_low observed_high predicted held_out n"
SPLITS = {
    "nothing": "all cells fitted",
    "largest size": "largest size held out",
    "longest length": "longest length held out",
}


def build(tables: Tables) -> Any:
    """One block per phase: a column per method, a row per split."""
    points = tables.scaling_points
    if points.is_empty():
        return Nothing("No fit of accuracy on size, length and budget: it takes several models or lengths.")
    methods = Methods(tables.methods, points["method"].unique().to_list())
    return stacked(
        [
            _panels(phase, part, tables.scaling.filter(phase=phase), methods)
            for phase in PHASE_WORDS
            if (part := points.filter(phase=phase)).height
        ]
    )


def _panels(phase: str, points: pl.DataFrame, fits: pl.DataFrame, methods: Methods) -> Any:
    panel = pl.col("split").replace(SPLITS)
    frame = points.with_columns(panel=panel)
    errors = fits.unique(["method", "split"], maintain_order=True).with_columns(
        panel=panel, words=pl.struct(fits.columns).map_elements(_words, return_dtype=pl.String)
    )
    scale = alt.Scale(domain=[0, 1], nice=False, clamp=True)
    axis = alt.Axis(format="%", tickCount=5)
    x = alt.X("predicted:Q", title="predicted accuracy", scale=scale, axis=alt.Axis(format="%", tickCount=2))
    picked, opacity = picking(0.85)
    tips = [
        tip("method:N"),
        tip("model:N"),
        tip("task:N"),
        tip("length_tok"),
        tip("sparsity"),
        tip("predicted", "predicted", ".3f"),
        *interval_tips("observed", "observed", ".3f"),
        tip("held_out:N", "held out"),
        tip("n"),
    ]
    base = alt.Chart().transform_filter("isValid(datum.predicted)").encode(x=x, color=methods.encode("color"))
    low = alt.Y("observed_low:Q", title="observed accuracy", scale=scale)
    bars = base.mark_rule(strokeWidth=1, strokeOpacity=0.25).encode(
        y=low, y2="observed_high:Q", opacity=opacity, tooltip=tips
    )
    seen = base.mark_point(size=36).encode(
        y=alt.Y("observed:Q", title="observed accuracy", scale=scale, axis=axis),
        shape=methods.encode("shape"),
        fill=alt.condition("datum.held_out", methods.encode("color"), alt.value("white")),
        opacity=opacity,
        tooltip=tips,
    )
    diagonal = alt.Chart().mark_rule(color="#777", strokeDash=[4, 3])
    diagonal = diagonal.encode(
        x=alt.datum(0, scale=scale), y=alt.datum(0, scale=scale), x2=alt.datum(1), y2=alt.datum(1)
    )
    width, height = panel_width(points["method"].n_unique(), most=260), 170
    words = alt.Chart().transform_filter("isValid(datum.words)")
    words = words.encode(text="words:N", x=alt.value(width - 5), y=alt.value(height - 5 - (_LINES - 1) * 12))
    form = {"align": "right", "baseline": "line-bottom", "lineBreak": "|", "fontSize": 10}
    # White around the letters keeps them readable over points.
    note = [words.mark_text(stroke="white", strokeWidth=4, **form), words.mark_text(color="#444", **form)]
    data = pl.concat([drawn(frame, COLUMNS), errors.select("method", "panel", "words")], how="diagonal")
    order = [words for split, words in SPLITS.items() if split in set(points["split"])]
    return (
        alt.layer(
            bars.properties(name="first").add_params(picked),
            diagonal,
            seen,
            *note,
            data=data,
        )
        .properties(width=width, height=height)
        .facet(
            row=alt.Row("panel:N", sort=order, title=None, header=alt.Header(labelOrient="top", labelAnchor="start")),
            column=alt.Column("method:N", sort=list(looks(points["method"])), title=None),
            title=PHASE_WORDS[phase],
        )
    )


_LINES = 3  # of a note, which grows downwards from its first


def _words(fit: dict[str, Any]) -> str:
    if fit["held_out_error"] is None:
        found = [f"error {fit['error']:.3f} over {fit['n_points']} cells"]
    else:
        found = [f"error held out {fit['held_out_error']:.3f}"]
    found += [f"guess {fit['naive_error']:.3f}"] if fit["naive_error"] is not None else []
    found += [f"samples alone {fit['noise']:.3f}"] if fit["noise"] is not None else []
    return "|".join([""] * (_LINES - len(found)) + found)
