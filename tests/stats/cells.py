"""Scores from an accuracy that is a function of model, task, length and configuration: for tables of trends."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import polars as pl
import pyarrow as pa

from sparsebench.tables import SCORES
from tests.stats.synthetic import answered

Truth = Callable[[str, str, int, str, float], float]


def decode_scores(
    truth: Truth,
    models: Iterable[str] = ("m",),
    tasks: Iterable[str] = ("t",),
    lengths: Iterable[int] = (1024,),
    methods: Iterable[str] = ("quest",),
    sparsities: Iterable[float] = (0.5, 0.8, 0.9),
    n: int = 100,
    seed: int = 0,
) -> pa.Table:
    """Right-or-wrong scores of dense and of decode methods.

    Each sample has a difficulty of its own, shared by all configurations and models: paired as real answers are.
    ``truth(model, task, length, method, sparsity)`` is the chance of a right answer; dense is ``("dense", 0.0)``.
    """
    rng = np.random.default_rng(seed)
    rows: list[dict] = []
    for task in tasks:
        for length in lengths:
            hard = rng.random(n)
            for model in models:
                settings = [("dense", 0.0), *((m, s) for m in methods for s in sparsities)]
                for method, sparsity in settings:
                    right = hard < truth(model, task, length, method, sparsity)
                    rows += answered(model, task, length, right, "dense", 0.0, method, sparsity)
    return pa.Table.from_pylist(rows, schema=SCORES)


def scores_of_tasks(given: dict[str, str], n: int = 60) -> pl.DataFrame:
    """Scores where each model has tasks of its own, as ``tasks.NAME.models`` makes them: ``{"m": "tu"}``.

    Dense is right in 90 % of the cases, quest nearly as often, snapkv in 60 %.
    """
    right = {"dense": 0.9, "quest": 0.88, "snapkv": 0.6}
    scores = decode_scores(
        lambda model, task, length, method, sparsity: right[method],
        given,
        sorted(set("".join(given.values()))),
        methods=("quest", "snapkv"),
        sparsities=(0.8, 0.9),
        n=n,
    )
    has = pl.DataFrame([(model, task) for model in given for task in given[model]], ["model", "task"], orient="row")
    return pl.DataFrame(pl.from_arrow(scores)).join(has, on=["model", "task"], how="semi", maintain_order="left")
