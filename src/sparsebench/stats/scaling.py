"""The scaling table: accuracy as a curve of size, length and budget, and how well that carries on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from sparsebench.cost.models import tokenizers_of
from sparsebench.stats.configuration import DENSE
from sparsebench.stats.intervals import LEVEL, RESAMPLES
from sparsebench.stats.logit import fit, predict
from sparsebench.stats.resampling import resampled_cells
from sparsebench.tables import SCALING

Array = npt.NDArray[np.float64]
Rows = list[dict[str, Any]]
METHOD = ["phase", "method", "control"]
SLOPES = {"size": "log2 size", "length": "log2 length", "budget": "log2 1/budget"}
SPLITS = {"nothing": None, "largest size": "size", "longest length": "length"}
# A slope can only be carried on to a value that is held out if two others are left to fit it.
_LEVELS = 3


@dataclass(frozen=True)
class Cells:
    """The cells of one method and phase: model, task, length, sparsity; the dense ones of the same tasks among them."""

    phase: str
    method: str
    control: bool
    rows: Rows
    tasks: tuple[str, ...]

    def column(self, name: str) -> Array:
        return np.array([row[name] for row in self.rows], dtype=np.float64)

    def levels(self, axis: str) -> Array:
        """Position of each cell on an axis, in doublings: size against 1B, length against 1K, 1 / budget."""
        if axis == "size":
            return np.log2(self.column("parameters") / 1e9)
        return np.log2(self.column("length_tok") / 1024) if axis == "length" else -np.log2(self.column("budget"))

    def terms(self, axes: list[str]) -> Array:
        """[cells, terms]: the slopes of ``axes``, then an intercept per task."""
        tasks = np.array([[row["task"] == task for task in self.tasks] for row in self.rows], dtype=np.float64)
        return np.column_stack([*(self.levels(axis) for axis in axes), tasks])


@dataclass(frozen=True)
class Split:
    """Cells and which of them the fit sees."""

    cells: Cells
    name: str
    seen: npt.NDArray[np.bool_]

    @property
    def axes(self) -> list[str]:
        """Axes on which the cells seen differ: the others have no slope."""
        return [axis for axis in SLOPES if np.ptp(self.cells.levels(axis)[self.seen]) > 1e-9]

    def fitted(self, accuracy: Array, start: Array | None = None) -> Array:
        """Coefficients [draws, terms] of mean scores [draws, cells]."""
        seen, cells = self.seen, self.cells
        n, chance = cells.column("n")[seen], cells.column("chance")[seen]
        return fit(cells.terms(self.axes)[seen], accuracy[:, seen], n, chance, start)

    def predicted(self, coefficients: Array) -> Array:
        return predict(self.cells.terms(self.axes), coefficients, self.cells.column("chance"))


def splits_of(accuracy: pa.Table, models: pa.Table) -> Iterator[Split]:
    """Every fit that the data allow, of each method and phase (from schemas ``ACCURACY`` and ``MODELS``).

    Cells are those of the tasks that have signal for any model at any length: the curve holds chance, and a choice of
    cells by their own scores would leave out those that drop to it. What is held out, the largest size or the longest
    length, needs two other values on its axis, and tasks that the rest has too.
    """
    sizes = pl.DataFrame(pl.from_arrow(models)).select("model", "parameters")
    frame = pl.DataFrame(pl.from_arrow(accuracy)).filter(pl.col("signal").any().over("task")).join(sizes, on="model")
    frame = frame.with_columns(budget=pl.col("attention_share").clip(1e-6, 1.0)).sort("model", "length_tok", "task")
    dense = frame.filter(pl.col("phase") == DENSE).with_columns(budget=1.0)
    sparse = frame.filter(pl.col("phase") != DENSE)
    for (phase, method, control), lines in sparse.sort("sparsity").group_by(METHOD, maintain_order=True):
        where = ["model", "task", "length_tok"]
        beside = dense.join(lines.select(where).unique(), on=where, how="semi", maintain_order="left")
        rows = pl.concat([beside, lines]).to_dicts()
        cells = Cells(str(phase), str(method), bool(control), rows, tuple(sorted({r["task"] for r in rows})))
        for name, axis in SPLITS.items():
            if split := _split(cells, name, axis):
                yield split


def _split(cells: Cells, name: str, axis: str | None) -> Split | None:
    if axis is None:
        return Split(cells, name, np.ones(len(cells.rows), dtype=bool))
    level = cells.levels(axis)
    if len(np.unique(level)) < _LEVELS:
        return None
    seen = level < level.max()
    known = {row["task"] for row, yes in zip(cells.rows, seen, strict=True) if yes}
    rows = [row for row in cells.rows if row["task"] in known]
    cells = replace(cells, rows=rows, tasks=tuple(sorted(known)))
    # Against the level held out before: where no task there is known elsewhere, nothing is left to hold out.
    seen = cells.levels(axis) < level.max()
    return None if seen.all() else Split(cells, name, seen)


def scaling_table(accuracy: pa.Table, models: pa.Table, resamples: int = RESAMPLES) -> pa.Table:
    """Fit accuracy per method and phase (``ACCURACY`` and ``MODELS`` to ``SCALING``).

    accuracy = chance + (1 - chance) * expit(task + a log2 size + b log2 length + c log2 1/budget)

    - Quasi-binomial likelihood: a cell weighs as many samples as it has. Dense cells take part at budget 1.
    - Intervals: percentiles over fits to samples drawn again, the same draw for all cells that answered them. They tell
      how sure the coefficients are given these models, tasks and lengths, not how well others would follow.
    - ``held_out_error`` beside ``noise`` and ``naive_error`` tells whether the curve can be carried on.
    """
    tokenizers = tokenizers_of(models)
    lines: list[dict[str, Any]] = []
    for split in splits_of(accuracy, models):
        cells = split.cells
        observed = cells.column("accuracy")
        best = split.fitted(observed[None])[0]
        drawn = split.fitted(resampled_cells(cells.rows, tokenizers, max(100, resamples // 4)), best)
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        names = [*(SLOPES[axis] for axis in split.axes), *(f"task {task}" for task in cells.tasks)]
        quality = _quality(split, observed, split.predicted(best))
        about = {"phase": cells.phase, "method": cells.method, "control": cells.control, "split": split.name}
        for i, name in enumerate(names):
            ends = {"coefficient": best[i], "coefficient_low": low[i], "coefficient_high": high[i]}
            lines.append({**about, "term": name, **ends, **quality})
        for axis in SLOPES.keys() - set(split.axes):
            lines.append({**about, "term": SLOPES[axis], **quality})
    if not lines:
        return SCALING.empty_table()
    frame = pl.DataFrame(lines, infer_schema_length=None)
    return pa.Table.from_pylist(frame.sort(*METHOD, "split", "term").to_dicts(), schema=SCALING)


def _quality(split: Split, observed: Array, predicted: Array) -> dict[str, Any]:
    seen, out, n = split.seen, ~split.seen, split.cells.column("n")
    miss = observed - predicted
    found: dict[str, Any] = {
        "n_points": int(seen.sum()),
        "n": int(n[seen].sum()),
        "error": _rms(miss[seen]),
        "n_held_out": int(out.sum()),
    }
    if out.any():
        tasks = np.array([row["task"] for row in split.cells.rows])
        naive = np.array([observed[seen & (tasks == task)].mean() for task in tasks])
        found |= {
            "held_out_error": _rms(miss[out]),
            "naive_error": _rms((observed - naive)[out]),
            "noise": _noise([row for row, yes in zip(split.cells.rows, out, strict=True) if yes]),
        }
    return found


def _noise(rows: Rows) -> float:
    """Root of the mean variance of the cells' mean scores, from the spread of their scores."""
    spread = [
        np.var(row["scores"], ddof=1) if row["n"] > 1 else row["accuracy"] * (1 - row["accuracy"]) for row in rows
    ]
    return float(np.sqrt(np.mean(np.array(spread) / [row["n"] for row in rows])))


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))
