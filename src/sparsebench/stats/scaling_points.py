"""What the scaling fits predict for each cell, beside what was observed."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from sparsebench.stats.scaling import splits_of
from sparsebench.tables import SCALING_POINTS


def scaling_points_table(accuracy: pa.Table, models: pa.Table) -> pa.Table:
    """One line per cell and fit (``ACCURACY`` and ``MODELS`` to ``SCALING_POINTS``)."""
    lines: list[dict[str, Any]] = []
    taken = ("model", "task", "length_tok", "sparsity", "parameters", "budget", "n")
    for split in splits_of(accuracy, models):
        cells = split.cells
        predicted = split.predicted(split.fitted(cells.column("accuracy")[None])[0])
        for row, value, seen in zip(cells.rows, predicted.tolist(), split.seen.tolist(), strict=True):
            lines.append(
                {
                    "phase": cells.phase,
                    "method": cells.method,
                    "control": cells.control,
                    "split": split.name,
                    **{name: row[name] for name in taken},
                    "observed": row["accuracy"],
                    "observed_low": row["accuracy_low"],
                    "observed_high": row["accuracy_high"],
                    "predicted": value,
                    "held_out": not seen,
                }
            )
    return pa.Table.from_pylist(lines, schema=SCALING_POINTS)
