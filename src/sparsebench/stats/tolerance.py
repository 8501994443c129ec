"""The tolerance table: how much attention each method can skip before a task suffers."""

from __future__ import annotations

from itertools import takewhile
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
    - ``by_mean`` asks the same of the share kept itself. With few samples nothing can be shown to hold, and the two lie
      far apart: it is what the data suggest, ``tolerance`` what they show.
    - Tasks without signal have no line: nothing can be lost there.
    - The worst task of a method, at one model and length, is the one with the lowest ``by_mean``, which charts show
      large (then the lowest tolerance, then the least share kept at the sparsity where the lower bound first fails).

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
        pl.col("tolerance", "by_mean", "next_sparsity", "kept", "kept_low", "kept_high", "at_failure").cast(pl.Float64)
    )
    order = ["by_mean", "tolerance", "at_failure", "task"]
    worst = (
        table.sort(order, nulls_last=[False, False, True, False])
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
    held = list(takewhile(lambda row: row["kept_low"] is not None and row["kept_low"] >= share, rows))
    by_mean = list(takewhile(lambda row: row["kept"] is not None and row["kept"] >= share, rows))
    failed = rows[len(held)] if len(held) < len(rows) else None
    line = {name: rows[0][name] for name in (*PLACE, "task")}
    line |= {name: held[-1][name] if held else None for name in ("kept", "kept_low", "kept_high")}
    return line | {
        "share": share,
        "tolerance": held[-1]["sparsity"] if held else None,
        "by_mean": by_mean[-1]["sparsity"] if by_mean else None,
        "next_sparsity": failed["sparsity"] if failed else None,
        "at_failure": failed["kept"] if failed else None,
        "n": min(row["n"] for row in rows),
    }
