"""The frontier table: accuracy over the tasks with signal against relative attention cost."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from sparsebench.stats.configuration import DENSE, NAMED, shares_kept
from sparsebench.stats.intervals import mean_of_intervals
from sparsebench.tables import FRONTIER

GROUP = ["model", "length_tok"]
DRAWS = 1000
Array = npt.NDArray[np.float64]


def pareto_members(cost: Array, accuracy: Array) -> npt.NDArray[np.bool_]:
    """Which points no other point beats: at most as costly and at least as accurate, and better in one of the two.

    Parameters
    ----------
    cost, accuracy
        [..., n]; broadcast against each other.

    Points that tie in both are members together.
    """
    c, a = np.broadcast_arrays(cost, accuracy)
    cheaper = c[..., :, None] <= c[..., None, :]
    better = a[..., :, None] >= a[..., None, :]
    strictly = (c[..., :, None] < c[..., None, :]) | (a[..., :, None] > a[..., None, :])
    return np.asarray(~(cheaper & better & strictly).any(axis=-2))


def frontier_table(accuracy: pa.Table) -> pa.Table:
    """Average the tasks with signal and mark the Pareto set, per model, length and phase (from schema ``ACCURACY``).

    - Accuracy is the mean over tasks; its interval combines those of the tasks by squaring and adding, which keeps the
      honest width of a constant score. Dense, at cost 1, stands in every phase.
    - Members come from configurations that have every task with signal; controls are shown, never members.
    - ``member_probability``: samples are drawn again within each task, the same draw for all configurations, and the
      Pareto set is found anew.
    - Tasks without signal are left out: groups in which no task has signal have no line.
    """
    frame = pl.DataFrame(pl.from_arrow(accuracy)).filter("signal")
    parts: list[pl.DataFrame] = []
    for _, group in frame.group_by(GROUP, maintain_order=True):
        dense = group.filter(pl.col("phase") == DENSE)
        for phase in ("prefill", "decode", "both"):
            sparse = group.filter(pl.col("phase") == phase)
            if sparse.height:
                parts.append(_frontier(pl.concat([dense, sparse]).with_columns(phase=pl.lit(phase))))
    if not parts:
        return FRONTIER.empty_table()
    return pl.concat(parts).sort([*GROUP, *NAMED]).select(FRONTIER.names).to_arrow().cast(FRONTIER)


def _frontier(lines: pl.DataFrame) -> pl.DataFrame:
    tasks = sorted(lines["task"].unique())
    averaged = (
        lines.sort("task")
        .group_by([*GROUP, *NAMED], maintain_order=True)
        .agg(
            pl.col("task").str.join(", ").alias("tasks"),
            pl.len().cast(pl.Int32).alias("n_tasks"),
            pl.col("n").sum(),
            pl.col("accuracy", "prefill_density", "decode_density", "attention_share").mean(),
            pl.col("accuracy").alias("means"),
            pl.col("accuracy_low", "accuracy_high"),
            pl.col("difference").alias("gaps"),
            pl.col("difference_low", "difference_high"),
            pl.col("dense_accuracy").mean(),
            pl.col("samples", "scores"),
            pl.col("task").alias("task_names"),
        )
        .with_columns(complete=pl.col("n_tasks") == len(tasks))
    )
    rows = averaged.to_dicts()
    whole = [mean_of_intervals(r["means"], r["accuracy_low"], r["accuracy_high"]) for r in rows]
    gaps = [
        (float(np.mean(r["gaps"])), *mean_of_intervals(r["gaps"], r["difference_low"], r["difference_high"]))
        if None not in r["gaps"]
        else (None, None, None)
        for r in rows
    ]
    eligible = np.array([r["complete"] and not r["control"] for r in rows])
    member, probability = np.zeros(len(rows), dtype=bool), np.zeros(len(rows))
    candidates = [r for r, ok in zip(rows, eligible, strict=True) if ok]
    cost = np.array([r["attention_share"] for r in candidates])
    if candidates:
        member[eligible] = pareto_members(cost, np.array([r["accuracy"] for r in candidates]))
        probability[eligible] = pareto_members(cost, _resampled(candidates, tasks)).mean(axis=0)
    return averaged.with_columns(
        pl.Series("accuracy_low", [low for low, _ in whole]),
        pl.Series("accuracy_high", [high for _, high in whole]),
        pl.Series("difference", [g[0] for g in gaps], pl.Float64),
        pl.Series("difference_low", [g[1] for g in gaps], pl.Float64),
        pl.Series("difference_high", [g[2] for g in gaps], pl.Float64),
        pl.Series("member", member),
        pl.Series("member_probability", probability),
    ).with_columns(shares_kept())


def _resampled(rows: list[dict], tasks: list[str]) -> Array:
    """[draws, configurations] means over tasks, samples drawn with replacement within each task."""
    rng = np.random.default_rng(0)
    total = np.zeros((DRAWS, len(rows)))
    for task in tasks:
        mine = [(r["samples"][i], r["scores"][i]) for r in rows for i in [r["task_names"].index(task)]]
        every = np.unique(np.concatenate([samples for samples, _ in mine]))
        scores, known = np.zeros((len(every), len(rows))), np.zeros((len(every), len(rows)))
        for column, (samples, values) in enumerate(mine):
            at = np.searchsorted(every, samples)
            scores[at, column], known[at, column] = values, 1.0
        weight = rng.multinomial(len(every), np.full(len(every), 1 / len(every)), size=DRAWS).astype(np.float64)
        count = weight @ known
        # A draw that misses all samples of a sparse configuration falls back to that configuration's own mean.
        total += np.where(count > 0, weight @ scores / np.maximum(count, 1), scores.sum(0) / known.sum(0))
    return total / len(tasks)
