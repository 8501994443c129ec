"""The accuracy table: what each configuration scores on each task, beside dense and the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from sparsebench.cost.columns import PRICED, cost_of
from sparsebench.errors import UserError
from sparsebench.stats.configuration import DENSE, KEY, NAMED, attention_share, name_configurations, shares_kept
from sparsebench.stats.intervals import RESAMPLES, mean_interval
from sparsebench.stats.pairing import Scored, differences
from sparsebench.tables import ACCURACY, SCORES

if TYPE_CHECKING:
    from sparsebench.cost.pricing import Pricing

CELL = ["model", "task", "length_tok"]
# Of the way from chance to a perfect score. Where a guesser scores 0, a single lucky sample already clears chance,
# but leaves a sparse method next to nothing to lose.
SIGNAL_MARGIN = 0.1


def accuracy_table(scores: pa.Table, pricing: Pricing, resamples: int = RESAMPLES) -> pa.Table:
    """Summarise scores (schema ``SCORES``) into one line per model, task, length and configuration (``ACCURACY``).

    - The mean carries a Wilson interval, the differences to dense and to the oracle a paired bootstrap interval.
    - ``signal`` is true where the dense score's interval lies above chance by at least ``SIGNAL_MARGIN`` of
      what a perfect score has over it. Elsewhere, and where there is no dense score, frontiers leave the task out.
    - The oracle that a line is compared with has the same phase and sparsity (in both phases, where both are sparse).

    Parameters
    ----------
    pricing
        Knows every model and method of the scores: what they cost.
    resamples
        Bootstrap draws behind each interval.

    Raises
    ------
    UserError
        If a sample has two scores in one configuration, or a model or method has no price.
    """
    frame = pl.DataFrame(pl.from_arrow(scores.select(SCORES.names)))
    _refuse_duplicates(frame)
    lines = _costs(_summarise(frame), pricing).sort([*CELL, *NAMED])
    rows = lines.to_dicts()
    scored = [Scored.of(r["samples"], r["scores"]) for r in rows]
    found: dict[Any, Scored] = {_place(r): s for r, s in zip(rows, scored, strict=True)}
    to_dense = differences([(s, found.get(_dense_place(r))) for r, s in zip(rows, scored, strict=True)], resamples)
    to_oracle = differences([(s, found.get(_oracle_place(r))) for r, s in zip(rows, scored, strict=True)], resamples)
    table = lines.with_columns(
        pl.Series("n_pairs", [d.n_pairs for d in to_dense], pl.Int32),
        _floats("dense_accuracy", [d.reference for d in to_dense]),
        _floats("difference", [d.mean for d in to_dense]),
        _floats("difference_low", [d.low for d in to_dense]),
        _floats("difference_high", [d.high for d in to_dense]),
        _floats("oracle_gap", [d.mean for d in to_oracle]),
        _floats("oracle_gap_low", [d.low for d in to_oracle]),
        _floats("oracle_gap_high", [d.high for d in to_oracle]),
    ).with_columns(shares_kept())
    return table.select(ACCURACY.names).to_arrow().cast(ACCURACY)


def _refuse_duplicates(frame: pl.DataFrame) -> None:
    twice = frame.select([*CELL, *KEY, "sample"]).is_duplicated()
    if twice.any():
        first = frame.filter(twice).select([*CELL, *KEY, "sample"]).row(0, named=True)
        raise UserError(
            f"scores: {int(twice.sum())} rows are there more than once, first {first}; "
            "a sample has one score per configuration: collect each scores file once"
        )


def _summarise(frame: pl.DataFrame) -> pl.DataFrame:
    expected = frame.group_by(CELL).agg(expected=pl.col("sample").n_unique())
    lines = (
        name_configurations(frame)
        .sort("sample")
        .group_by([*CELL, *NAMED], maintain_order=True)
        .agg(
            pl.col("metric").first(),
            pl.len().cast(pl.Int32).alias("n"),
            pl.col("score").mean().alias("accuracy"),
            pl.col("prefill_density", "decode_density", "generated_tok", "prompt_tok").mean(),
            pl.col("parse_failed").cast(pl.Float64).mean(),
            pl.col("chance").mean(),  # samples of one task can differ in it
            pl.col("sample").alias("samples"),
            pl.col("score").alias("scores"),
        )
        .join(expected, on=CELL)
        .with_columns(
            n_missing=(pl.col("expected") - pl.col("n")).cast(pl.Int32),
            attention_share=attention_share(pl.col("prompt_tok"), pl.col("generated_tok")),
        )
    )
    low, high = mean_interval(lines["accuracy"].to_numpy(), lines["n"].to_numpy())
    lines = lines.with_columns(pl.Series("accuracy_low", low), pl.Series("accuracy_high", high))
    floor = pl.col("chance") + SIGNAL_MARGIN * (1 - pl.col("chance"))
    dense = lines.filter(pl.col("phase") == DENSE).select(*CELL, signal=pl.col("accuracy_low") > floor)
    return lines.join(dense, on=CELL, how="left").with_columns(pl.col("signal").fill_null(False))


def _costs(lines: pl.DataFrame, pricing: Pricing) -> pl.DataFrame:
    priced = pricing.with_costs(lines).with_columns(cost=cost_of(pl.col("phase")))
    dense = priced.filter(pl.col("phase") == DENSE).select(*CELL, *(pl.col(c).alias(f"dense_{c}") for c in PRICED))
    of_dense = cost_of(pl.col("phase"), prefix="dense_")
    return priced.join(dense, on=CELL, how="left").with_columns(cost_share=pl.col("cost") / of_dense)


def _floats(name: str, values: Sequence[float | None]) -> pl.Series:
    return pl.Series(name, values, pl.Float64)


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[c] for c in (*CELL, *KEY))


def _dense_place(row: dict[str, Any]) -> tuple[Any, ...]:
    return (*(row[c] for c in CELL), DENSE, 0.0, DENSE, 0.0)


def _oracle_place(row: dict[str, Any]) -> tuple[Any, ...] | None:
    if row["phase"] == DENSE:
        return None
    prefill, decode = (DENSE if row[phase] == DENSE else "oracle" for phase in ("prefill", "decode"))
    return (*(row[c] for c in CELL), prefill, row["prefill_sparsity"], decode, row["decode_sparsity"])
