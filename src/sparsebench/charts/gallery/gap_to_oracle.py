"""How far each method is from the best selection at its budget."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.data import Tables
from sparsebench.charts.panels import blocks, multiples, nothing, stacked
from sparsebench.charts.theme import Look

TITLE = "Gap to the oracle"
CAPTION = (
    "Score of each method minus that of the oracle, which selects by the true attention weights at the same phase and "
    "sparsity, on the same samples. On the black line a method is as good as that choice; below it better selection "
    "could still win. Bars are 95 % intervals of the paired difference (bootstrap over samples; from Wilson intervals "
    "where fewer than five samples differ). Only tasks with signal. Click a legend entry to see one method alone."
)
ORDER = 3

_VALUES = ["oracle_gap", "oracle_gap_low", "oracle_gap_high"]
_COLUMNS = ["model", "task", "length_tok", "phase", "method", "sparsity", "x", "cost", "n", *_VALUES]


def build(tables: Tables) -> Any:
    """The chart, from the accuracy table."""
    look = Look(tables.accuracy["method"].unique())
    frame = tables.accuracy.filter(
        pl.col("signal"), pl.col("oracle_gap").is_not_null(), ~pl.col("method").str.contains("oracle")
    )
    charts = []
    for title, sparse, _ in blocks(frame):
        y = alt.Y("zero:Q", title="score minus oracle's")
        zero = alt.Chart().transform_calculate(zero="0").mark_rule(color="black").encode(y=y)
        data = sparse.select(_COLUMNS)
        charts.append(multiples(title, sparse, [zero], data, look, _VALUES, "score minus oracle's"))
    return stacked(charts) if charts else nothing("No oracle beside another method on a task with signal.")
