"""The tolerance table: how much attention each method can skip before a task suffers."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa

from sparsebench.errors import UserError
from sparsebench.stats.configuration import DENSE
from sparsebench.tables import TOLERANCE

SHARE = 0.95
PLACE = ["model", "length_tok", "phase", "method", "control"]


def tolerance_table(accuracy: pa.Table, share: float = SHARE) -> pa.Table:
    """Highest sparsity at which the paired lower bound stays above ``share`` of dense (``ACCURACY`` to ``TOLERANCE``).

    - *Stays*: every lower sparsity that was run holds too. A method that fails at its lowest sparsity has a null
      tolerance; whether it would hold below that was not asked.
    - Tasks without signal have no line: nothing can be lost there.
    - The worst task of a method, at one model and length, is the one with the lowest tolerance, and of these the one
      that keeps least at the sparsity where it first fails.

    Raises
    ------
    UserError
        If ``share`` is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise UserError(f"share of dense to keep: {share}; allowed: above 0 and at most 1")
    frame = pl.DataFrame(pl.from_arrow(accuracy)).filter("signal", pl.col("phase") != DENSE)
    groups = frame.sort("sparsity").partition_by([*PLACE, "task"], maintain_order=True)
    lines = [_line(group.to_dicts(), share) for group in groups]
    if not lines:
        return TOLERANCE.empty_table()
    table = pl.DataFrame(lines, infer_schema_length=None).with_columns(
        pl.col("tolerance", "next_sparsity", "kept", "kept_low", "kept_high", "at_failure").cast(pl.Float64)
    )
    order = ["tolerance", "at_failure", "task"]
    worst = (
        table.sort(order, nulls_last=[False, True, False])
        .group_by(PLACE, maintain_order=True)
        .agg(pl.col("task").first())
    )
    table = table.join(worst.with_columns(worst=True), on=[*PLACE, "task"], how="left").with_columns(
        pl.col("worst").fill_null(False)
    )
    return (
        table.sort("model", "length_tok", "phase", "method", "task").select(TOLERANCE.names).to_arrow().cast(TOLERANCE)
    )


def _line(rows: list[dict[str, Any]], share: float) -> dict[str, Any]:
    """One task and method: ``rows`` by ascending sparsity."""
    held: dict[str, Any] | None = None
    failed: dict[str, Any] | None = None
    for row in rows:
        if row["kept_low"] is None or row["kept_low"] < share:
            failed = row
            break
        held = row
    line = {name: rows[0][name] for name in (*PLACE, "task")}
    line |= {name: held[name] if held else None for name in ("kept", "kept_low", "kept_high")}
    return line | {
        "share": share,
        "tolerance": held["sparsity"] if held else None,
        "next_sparsity": failed["sparsity"] if failed else None,
        "at_failure": failed["kept"] if failed else None,
        "n": min(row["n"] for row in rows),
    }
