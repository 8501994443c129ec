"""The depth table: accuracy by where in the prompt the evidence lies."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from sparsebench.stats.accuracy import CELL
from sparsebench.stats.configuration import DENSE, NAMED, name_configurations
from sparsebench.stats.intervals import RESAMPLES, difference_interval, mean_interval
from sparsebench.tables import DEPTH

DECILES = 10


def depth_table(scores: pa.Table, accuracy: pa.Table, resamples: int = RESAMPLES) -> pa.Table:
    """One line per configuration and tenth of the prompt with evidence (from schemas ``SCORES`` and ``ACCURACY``).

    - A sample with several pieces of evidence counts once in each decile that holds one, with its whole score.
    - Tasks that state no evidence have no line.
    - The accuracy table tells which tasks have signal.
    """
    frame = pl.DataFrame(pl.from_arrow(scores)).with_row_index("row")
    place = (pl.col("evidence_tok") * DECILES // pl.col("prompt_tok")).clip(0, DECILES - 1)
    spread = (
        frame.with_columns(pieces=pl.col("evidence_tok").list.len())
        .explode("evidence_tok")
        .drop_nulls("evidence_tok")
        .with_columns(decile=place.cast(pl.Int32))
        .unique(["row", "decile"])
    )
    if spread.is_empty():
        return DEPTH.empty_table()
    dense = frame.filter((pl.col("prefill") == DENSE) & (pl.col("decode") == DENSE)).select(
        *CELL, "sample", dense="score"
    )
    signal = pl.DataFrame(pl.from_arrow(accuracy.select([*CELL, "signal"]))).unique()
    lines = (
        name_configurations(spread.join(dense, on=[*CELL, "sample"], how="left"))
        .sort("sample")
        .group_by([*CELL, *NAMED, "decile"])
        .agg(
            pl.len().cast(pl.Int32).alias("n"),
            pl.col("pieces").mean(),
            pl.col("score").mean().alias("accuracy"),
            (pl.col("score") - pl.col("dense")).drop_nulls().alias("gaps"),
        )
        .join(signal, on=CELL, how="left")
        .sort([*CELL, *NAMED, "decile"])
    )
    low, high = mean_interval(lines["accuracy"].to_numpy(), lines["n"].to_numpy())
    gaps = [np.asarray(g, dtype=np.float64) for g in lines["gaps"]]
    itself = (lines["phase"] == DENSE).to_numpy()
    ends = _intervals(gaps, itself, resamples)
    table = lines.with_columns(
        pl.Series("accuracy_low", low),
        pl.Series("accuracy_high", high),
        pl.Series("difference", [float(g.mean()) if len(g) else None for g in gaps], pl.Float64),
        pl.Series("difference_low", ends[0]).fill_nan(None),
        pl.Series("difference_high", ends[1]).fill_nan(None),
    )
    return table.select(DEPTH.names).to_arrow().cast(DEPTH)


def _intervals(
    gaps: list[npt.NDArray[np.float64]], itself: npt.NDArray[np.bool_], resamples: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Ends per line; NaN without pairs, nothing for dense, which does not differ from itself."""
    low, high = np.full(len(gaps), np.nan), np.full(len(gaps), np.nan)
    by_n: dict[int, list[int]] = {}
    for i, d in enumerate(gaps):
        if len(d):
            by_n.setdefault(len(d), []).append(i)
    for rows in by_n.values():
        low[rows], high[rows] = difference_interval(np.stack([gaps[i] for i in rows]), resamples=resamples)
    low[itself], high[itself] = 0.0, 0.0
    return low, high
