"""Accuracy over sparsity, a panel per task and length, with dense as a line across."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.data import Tables
from sparsebench.charts.panels import blocks, multiples, nothing, stacked
from sparsebench.charts.theme import Look
from sparsebench.stats.configuration import DENSE

TITLE = "Accuracy versus sparsity"
CAPTION = (
    "Mean score of each method at each sparsity, a panel per task and length; prefill and decode apart. Bars are 95 % "
    "Wilson intervals; the black line and its band are dense attention on the same samples. Oracle and random "
    "selection are controls (grey, dashed): the best and the worst choice at that budget. `No signal` marks panels in "
    "which dense itself does not clear chance. The horizontal axis is spaced by the logarithm of 1 / budget; points "
    "at one sparsity stand side by side. Click a legend entry to see one method alone; point at a mark for n and the "
    "measured density."
)
ORDER = 2

_SCORE = ["accuracy", "accuracy_low", "accuracy_high"]
_COLUMNS = ["model", "task", "length_tok", "phase", "method", "sparsity", "x", "cost", "n", "signal", *_SCORE]


def build(tables: Tables) -> Any:
    """The chart, from the accuracy table."""
    frame = tables.accuracy
    look = Look(frame["method"].unique())
    charts = []
    for title, sparse, dense in blocks(frame):
        data = pl.concat([sparse.select(_COLUMNS), dense.with_columns(x=pl.lit(None, pl.Float64)).select(_COLUMNS)])
        only = alt.Chart().transform_filter(f"datum.phase === '{DENSE}'")
        y = alt.Y("accuracy_low:Q", title="mean score", scale=alt.Scale(domain=[0, 1]))
        band = only.mark_rect(color="black", opacity=0.09).encode(y=y, y2="accuracy_high:Q")
        level = only.mark_rule(color="black", strokeWidth=1.5).encode(
            y="accuracy:Q",
            tooltip=[
                alt.Tooltip("method:N"),
                alt.Tooltip("accuracy:Q", format=".3f"),
                alt.Tooltip("n:Q", title="samples"),
            ],
        )
        doubt = (
            only.transform_filter("!datum.signal")
            .mark_text(text="no signal", fontSize=13, fontStyle="italic", color="#777")
            .encode(y=alt.datum(0.5))
        )
        charts.append(multiples(title, sparse, [band, level, doubt], data, look, _SCORE, "mean score"))
    return stacked(charts) if charts else nothing("No sparse method was run.")
