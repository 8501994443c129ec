"""Answers to common questions, from the tables: what is best within a bound, what is tolerated, is A better than B."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from sparsebench.errors import UserError, unknown
from sparsebench.stats.configuration import DENSE
from sparsebench.stats.effects import holm, permutation_p
from sparsebench.stats.pairing import Scored, differences

CELL = ["model", "task", "length_tok"]
GROUP = ["model", "length_tok", "phase"]


@dataclass(frozen=True)
class Bounds:
    """What a configuration must meet; each in (0, 1], None for no bound.

    Parameters
    ----------
    keep, accuracy
        Least share of dense accuracy to keep, and least accuracy.
    cost, attention
        Highest cost of the whole model and highest share of attention, relative to dense.

    Raises
    ------
    UserError
        If a bound is out of range.
    """

    keep: float | None = None
    cost: float | None = None
    attention: float | None = None
    accuracy: float | None = None

    def __post_init__(self) -> None:
        words = {"keep": "share to keep", "attention": "share of attention"}
        for name, bound in vars(self).items():
            if bound is not None and not 0 < bound <= 1:
                raise UserError(f"{words.get(name, name)}: {bound}; allowed: above 0 and at most 1")

    def met(self, frontier: pl.DataFrame) -> pl.DataFrame:
        """Lines that meet all of them, but for controls and configurations that lack tasks of their model.

        ``sure`` says whether the lower ends of the intervals meet the bounds on accuracy too.
        """
        fit = frontier.filter(~pl.col("control"), pl.col("model_complete"))
        for column, limit in (("cost_share", self.cost), ("attention_share", self.attention)):
            fit = fit if limit is None else fit.filter(pl.col(column) <= limit)
        sure = pl.lit(True)
        for column, limit in (("kept", self.keep), ("accuracy", self.accuracy)):
            if limit is not None:
                fit, sure = fit.filter(pl.col(column) >= limit), sure & (pl.col(f"{column}_low") >= limit)
        return fit.with_columns(sure=sure)


def best(frontier: pl.DataFrame, bounds: Bounds) -> pl.DataFrame:
    """The best configuration of each model, length and phase within ``bounds``.

    With a bound on accuracy (``keep``, ``accuracy``) that is the cheapest, else the most accurate one.

    Parameters
    ----------
    frontier
        Schema ``FRONTIER``; filter it to ask about one model, length or phase.

    Returns
    -------
    One line per group in which some configuration meets the bounds, with ``sure`` (:meth:`Bounds.met`).

    Raises
    ------
    UserError
        If no bound is given.
    """
    if bounds == Bounds():
        raise UserError("no bound: give the share of dense to keep, the least accuracy, the highest cost, or several")
    cheapest = bounds.keep is not None or bounds.accuracy is not None
    order, descending = (["cost", "accuracy"], [False, True]) if cheapest else (["accuracy", "cost"], [True, False])
    fit = bounds.met(frontier).sort(order, descending=descending)
    return fit.group_by(GROUP, maintain_order=True).first().sort(GROUP)


def fastest(
    frontier: pl.DataFrame, measurements: pl.DataFrame, within_ms: float, bounds: Bounds = Bounds()
) -> pl.DataFrame:
    """The most accurate configuration whose measured time stays below a bound, per model, length, phase and device.

    Parameters
    ----------
    frontier
        Schema ``FRONTIER``.
    measurements
        Schema ``MEASUREMENTS``: lines of ``generation`` are looked at, one row decoding, as labelled in the frontier.
    within_ms
        Longest time: of the whole prefill, or of one decode step.
    bounds
        Further bounds.
    """
    if within_ms <= 0:
        raise UserError(f"latency: {within_ms} ms; allowed: above 0")
    timed = (
        measurements.filter((pl.col("kind") == "generation") & (pl.col("time_ms") <= within_ms))
        .sort("rows", "time_ms")
        .group_by("device", "model", "phase", "method", "length_tok", "sparsity", maintain_order=True)
        .agg(pl.col("time_ms", "speedup", "rows", "cache").first())
    )
    on = ["model", "phase", "method", "length_tok", "sparsity"]
    fit = bounds.met(frontier).join(timed, on=on)
    group = [*GROUP, "device"]
    order = fit.sort(["accuracy", "time_ms"], descending=[True, False])
    return order.group_by(group, maintain_order=True).first().sort(group)


def find(accuracy: pl.DataFrame, spelled: str) -> pl.DataFrame:
    """Lines of one configuration, spelled ``method@sparsity``, ``phase:method@sparsity`` or ``dense``.

    Raises
    ------
    UserError
        If no line has that name, or if it names a method in two phases.
    """
    name = pl.when(pl.col("phase") == DENSE).then(pl.lit(DENSE)).otherwise(pl.format("{}@{}", "method", "sparsity"))
    named = accuracy.with_columns(spelled=name, in_full=pl.format("{}:{}", "phase", name))
    lines = named.filter((pl.col("spelled") == spelled) | (pl.col("in_full") == spelled))
    if not lines.height:
        raise unknown("configuration", spelled, named["spelled"].unique())
    if lines["phase"].n_unique() > 1:
        full = ", ".join(lines["in_full"].unique().sort())
        raise UserError(f"configuration {spelled!r} is in several phases; allowed: {full}")
    return lines.drop("spelled", "in_full")


def compare(accuracy: pl.DataFrame, a: str, b: str) -> pl.DataFrame:
    """Paired difference of configuration ``a`` minus ``b``, on each task and length of each model.

    Parameters
    ----------
    accuracy
        Schema ``ACCURACY``.
    a, b
        As in :func:`find`.

    Returns
    -------
    One line per model, task and length that both have: ``a`` and ``b`` (mean scores over the shared samples),
    ``n_pairs``, ``difference`` with ``low`` and ``high`` (95 %), ``p`` (paired permutation test), ``p_holm`` (over
    these lines).
    """
    columns = [*CELL, "samples", "scores"]
    both = find(accuracy, a).select(columns).join(find(accuracy, b).select(columns), on=CELL, suffix="_b").sort(CELL)
    nothing = f"{a} and {b} share no sample; allowed: configurations of the same model, task and length"
    return _paired(both, CELL, nothing)


def between(mine: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """Paired difference of one run minus another, on each configuration, task and length that both have.

    Parameters
    ----------
    mine, other
        Schema ``ACCURACY``: two runs of the same tasks and seed, as on two devices.

    Returns
    -------
    As :func:`compare`, with ``phase``, ``method`` and ``sparsity`` besides.
    """
    key = [*CELL, "phase", "method", "sparsity"]
    columns = [*key, "samples", "scores"]
    both = mine.select(columns).join(other.select(columns), on=key, suffix="_b").sort(key)
    return _paired(both, key, "the two runs share no sample; allowed: runs of the same models, tasks and lengths")


def _paired(both: pl.DataFrame, key: list[str], nothing: str) -> pl.DataFrame:
    rows = both.to_dicts()
    pairs = [(Scored.of(r["samples"], r["scores"]), Scored.of(r["samples_b"], r["scores_b"])) for r in rows]
    shared = [i for i, (mine, theirs) in enumerate(pairs) if np.intersect1d(mine.samples, theirs.samples).size]
    if not shared:
        raise UserError(nothing)
    pairs = [pairs[i] for i in shared]
    found = differences(pairs)
    p = permutation_p([np.subtract(*mine.paired(theirs)) for mine, theirs in pairs])
    return (
        both[shared]
        .select(key)
        .with_columns(
            pl.Series("a", [d.reference + d.mean for d in found if d.reference is not None and d.mean is not None]),
            pl.Series("b", [d.reference for d in found]),
            pl.Series("n_pairs", [d.n_pairs for d in found]),
            pl.Series("difference", [d.mean for d in found]),
            pl.Series("low", [d.low for d in found]),
            pl.Series("high", [d.high for d in found]),
            pl.Series("p", p),
            pl.Series("p_holm", holm(p)),
        )
    )
