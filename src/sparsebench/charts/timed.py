"""Which of the measured lines are told: each method as one would run it."""

from __future__ import annotations

import polars as pl

from sparsebench.stats.configuration import is_control

KINDS = {"attention": "attention of one layer", "generation": "the whole model"}


def timed(measurements: pl.DataFrame) -> pl.DataFrame:
    """Lines of sparse methods in one phase, of one layer or of a whole model.

    Where a method was timed with its evicted entries freed and with the whole cache kept, the first counts. Dense
    backends stand in every line as its baseline; controls are no methods that anyone would run.
    """
    control = pl.col("method").map_elements(is_control, pl.Boolean)
    lines = measurements.filter(
        pl.col("kind").is_in(list(KINDS)) & pl.col("phase").is_in(["prefill", "decode"]) & (pl.col("sparsity") > 0)
    ).filter(~control)
    place = ["kind", "device", "model", "phase", "method", "length_tok", "sparsity", "rows"]
    freed = pl.col("cache") == "compacted"
    return lines.filter(freed | ~freed.any().over(place))
