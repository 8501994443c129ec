"""The frontier table: accuracy over tasks against cost, across models, methods and sparsities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from sparsebench.cost.columns import PRICED, cost_of
from sparsebench.stats.configuration import DENSE, NAMED, shares_kept
from sparsebench.stats.intervals import RESAMPLES, mean_of_intervals
from sparsebench.stats.resampling import resampled_means
from sparsebench.tables import FRONTIER

PHASES = ("prefill", "decode", "both")
# Of lines made by ``over_tasks`` for one length and phase: what is compared within one model needs no other's tasks.
MODEL_COMPLETE = pl.col("n_tasks") == pl.col("task_names").explode().n_unique().over("model")
Array = npt.NDArray[np.float64]


def pareto_members(cost: Array, accuracy: Array) -> npt.NDArray[np.bool_]:
    """Which points no other point beats: at most as costly and at least as accurate, and better in one of the two.

    Parameters
    ----------
    cost
        [n].
    accuracy
        [..., n].

    Points that tie in both are members together.
    """
    order = np.argsort(cost, kind="stable")
    level, start = np.unique(cost[order], return_inverse=True)
    a = accuracy[..., order]
    best = np.full((*a.shape[:-1], len(level)), -np.inf)
    for k in range(len(level)):
        best[..., k] = a[..., start == k].max(-1)
    cheaper = np.full_like(best, -np.inf)
    cheaper[..., 1:] = np.maximum.accumulate(best, axis=-1)[..., :-1]
    members = np.empty(a.shape, dtype=bool)
    members[..., order] = (a >= best[..., start]) & (a > cheaper[..., start])
    return members


def frontier_table(accuracy: pa.Table, tokenizers: Mapping[str, str], resamples: int = RESAMPLES) -> pa.Table:
    """Average over tasks and mark the Pareto set, per length and phase (from schema ``ACCURACY``).

    - Tasks averaged are those with signal for at least one model at that length: the same for all models, so that sizes
      compare. A model without signal there scores what it scores.
    - Accuracy is the mean over tasks; its interval combines those of the tasks by squaring and adding, which keeps the
      honest width of a constant score. Each model's dense line stands in every phase, at that phase's cost.
    - Members come from configurations that have every task, of all models or of their own (``member`` and
      ``model_member``); controls are shown, never members.
    - Probabilities: samples are drawn again within each task, the same draw for all configurations and for all models
      of one tokenizer, and the Pareto set is found anew.

    Parameters
    ----------
    tokenizers
        Label of the model whose samples each model answers.
    """
    known = tasks_with_signal(pl.DataFrame(pl.from_arrow(accuracy)))
    parts: list[pl.DataFrame] = []
    for _, group in known.group_by("length_tok", maintain_order=True):
        dense = group.filter(pl.col("phase") == DENSE)
        for phase in PHASES:
            sparse = group.filter(pl.col("phase") == phase)
            if sparse.height:
                beside = dense.filter(pl.col("model").is_in(sparse["model"].unique().implode()))
                lines = pl.concat([beside, sparse]).with_columns(phase=pl.lit(phase))
                parts.append(_frontier(lines, tokenizers, resamples))
    if not parts:
        return FRONTIER.empty_table()
    return pl.concat(parts).sort(["model", "length_tok", *NAMED]).select(FRONTIER.names).to_arrow().cast(FRONTIER)


def tasks_with_signal(accuracy: pl.DataFrame) -> pl.DataFrame:
    """Lines of the tasks that have signal, at that length, for at least one model."""
    known = accuracy.filter("signal").select("task", "length_tok").unique()
    return accuracy.join(known, on=["task", "length_tok"], how="semi", maintain_order="left")


def over_tasks(lines: pl.DataFrame) -> pl.DataFrame:
    """One row per model, length and configuration: means over tasks, and the tasks' own values as lists."""
    return (
        lines.sort("task")
        .group_by(["model", "length_tok", *NAMED], maintain_order=True)
        .agg(
            pl.col("task").str.join(", ").alias("tasks"),
            pl.len().cast(pl.Int32).alias("n_tasks"),
            pl.col("n").sum(),
            pl.col("accuracy", "prefill_density", "decode_density", "attention_share", *PRICED).mean(),
            pl.col("accuracy").alias("means"),
            pl.col("accuracy_low", "accuracy_high"),
            pl.col("difference").alias("gaps"),
            pl.col("difference_low", "difference_high"),
            pl.col("dense_accuracy").mean(),
            pl.col("samples", "scores"),
            pl.col("task").alias("task_names"),
        )
        .with_columns(cost=cost_of(pl.col("phase")))
    )


def _frontier(lines: pl.DataFrame, tokenizers: Mapping[str, str], draws: int) -> pl.DataFrame:
    tasks = lines["task"].n_unique()
    averaged = over_tasks(lines).with_columns(
        complete=pl.col("n_tasks") == tasks,
        model_complete=MODEL_COMPLETE,
        cost_share=pl.col("cost") / pl.col("cost").filter(pl.col("method") == DENSE).first().over("model"),
    )
    rows = averaged.to_dicts()
    whole = [mean_of_intervals(r["means"], r["accuracy_low"], r["accuracy_high"]) for r in rows]
    gaps = [_gap(r) for r in rows]
    drawn = resampled_means(rows, tokenizers, draws)
    member, probability = _membership(rows, drawn, np.array([r["complete"] and not r["control"] for r in rows]))
    own, own_probability = np.zeros(len(rows), dtype=bool), np.zeros(len(rows))
    for model in averaged["model"].unique():
        mine = np.array([r["model"] == model and r["model_complete"] and not r["control"] for r in rows])
        inside, share = _membership(rows, drawn, mine)
        own, own_probability = own | inside, own_probability + share
    return averaged.with_columns(
        pl.Series("accuracy_low", [low for low, _ in whole]),
        pl.Series("accuracy_high", [high for _, high in whole]),
        pl.Series("difference", [g[0] for g in gaps], pl.Float64),
        pl.Series("difference_low", [g[1] for g in gaps], pl.Float64),
        pl.Series("difference_high", [g[2] for g in gaps], pl.Float64),
        pl.Series("member", member),
        pl.Series("member_probability", probability),
        pl.Series("model_member", own),
        pl.Series("model_member_probability", own_probability),
    ).with_columns(shares_kept())


def _gap(row: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    if None in row["gaps"]:
        return None, None, None
    low, high = mean_of_intervals(row["gaps"], row["difference_low"], row["difference_high"])
    return float(np.mean(row["gaps"])), low, high


def _membership(
    rows: Sequence[Mapping[str, Any]], drawn: Array, eligible: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.bool_], Array]:
    member, probability = np.zeros(len(rows), dtype=bool), np.zeros(len(rows))
    if eligible.any():
        cost, mean = (np.array([r[name] for r in rows])[eligible] for name in ("cost", "accuracy"))
        member[eligible] = pareto_members(cost, mean)
        probability[eligible] = pareto_members(cost, drawn[:, eligible]).mean(axis=0)
    return member, probability
