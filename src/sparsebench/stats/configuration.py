"""What a row of a cell is called in tables and charts: its phase, method and sparsity."""

from __future__ import annotations

import re

import polars as pl

DENSE = "dense"
CONTROLS = ("oracle", "random")
_CONTROL = re.compile(rf"({'|'.join(CONTROLS)})(?![A-Za-z])")
KEY = ["prefill", "prefill_sparsity", "decode", "decode_sparsity"]
NAMED = ["phase", "method", "sparsity", *KEY, "control"]


def is_control(method: str) -> bool:
    """Whether a label names a control: ``oracle`` or ``random`` with no letter after it."""
    return _CONTROL.match(method) is not None


def natural(name: str) -> list[str | int]:
    """Sort key of names in which numbers count as numbers: ``7b`` stands before ``14b``."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def name_configurations(frame: pl.DataFrame) -> pl.DataFrame:
    """Add ``phase``, ``method``, ``sparsity`` and ``control`` to rows that have the four columns of ``KEY``.

    A configuration that is sparse in both phases is named after both, so that its curve runs over the decode sparsity
    with prefill held fixed.
    """
    prefill, decode = pl.col("prefill") != DENSE, pl.col("decode") != DENSE
    both = pl.format("{}@{} + {}", pl.col("prefill"), pl.col("prefill_sparsity"), pl.col("decode"))
    control = pl.col("prefill").map_elements(is_control, return_dtype=pl.Boolean) | pl.col("decode").map_elements(
        is_control, return_dtype=pl.Boolean
    )
    return frame.with_columns(
        phase=pl.when(prefill & decode)
        .then(pl.lit("both"))
        .when(prefill)
        .then(pl.lit("prefill"))
        .when(decode)
        .then(pl.lit("decode"))
        .otherwise(pl.lit(DENSE)),
        method=pl.when(prefill & decode).then(both).when(prefill).then(pl.col("prefill")).otherwise(pl.col("decode")),
        sparsity=pl.when(prefill & ~decode).then(pl.col("prefill_sparsity")).otherwise(pl.col("decode_sparsity")),
        control=control,
    )


def attention_share(prompt_tok: pl.Expr, generated_tok: pl.Expr) -> pl.Expr:
    """Attention cost relative to dense: the measured density of the sparse phase.

    Where both phases are sparse it is the share of query-key pairs computed of prompt and answer together: a prompt of
    T tokens has about T^2 / 2 pairs, an answer of g tokens reads g * T.
    """
    pairs = prompt_tok / 2 * pl.col("prefill_density") + generated_tok * pl.col("decode_density")
    return (
        pl.when(pl.col("phase") == "prefill")
        .then(pl.col("prefill_density"))
        .when(pl.col("phase") == "decode")
        .then(pl.col("decode_density"))
        .when(pl.col("phase") == "both")
        .then(pairs / (prompt_tok / 2 + generated_tok))
        .otherwise(pl.lit(1.0))
    )


def shares_kept() -> list[pl.Expr]:
    """``kept``, ``kept_low``, ``kept_high``: accuracy as a share of dense, from the paired difference and its interval.

    The dense mean over the same samples is taken as known: what is asked is how much of *that* score is kept, at
    least nothing and at most a perfect score. Null where dense scores nothing.
    """
    ends = {"kept": "difference", "kept_low": "difference_low", "kept_high": "difference_high"}
    dense = pl.col("dense_accuracy")
    return [
        pl.when(dense > 0).then((1 + pl.col(end) / dense).clip(0, 1 / dense)).alias(name) for name, end in ends.items()
    ]
