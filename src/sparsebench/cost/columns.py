"""The columns of costs in tables, apart from how they are priced: most tables need no method and no torch."""

from __future__ import annotations

import polars as pl

UNITS = {"prefill": "FLOP per prompt", "decode": "bytes per token", "both": "FLOP equivalents per answer"}
PRICED = (
    "prefill_flops",
    "attention_flops",
    "estimation_flops",
    "decode_bytes",
    "kv_bytes",
    "metadata_bytes",
    "answer_flops",
)


def cost_of(phase: pl.Expr, prefix: str = "") -> pl.Expr:
    """The cost of a configuration in a phase (units: ``UNITS``); of dense as such, that of prompt and answer."""
    return (
        pl.when(phase == "prefill")
        .then(pl.col(prefix + "prefill_flops"))
        .when(phase == "decode")
        .then(pl.col(prefix + "decode_bytes"))
        .otherwise(pl.col(prefix + "answer_flops"))
    )
