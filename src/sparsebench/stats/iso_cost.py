"""The equal-cost table: which of two configurations that cost the same is more accurate, and by how much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from sparsebench.cost.columns import UNITS
from sparsebench.stats.configuration import DENSE
from sparsebench.stats.effects import PERMUTATIONS, holm, permutation_p
from sparsebench.stats.frontier import MODEL_COMPLETE, PHASES, over_tasks, tasks_with_signal
from sparsebench.stats.intervals import RESAMPLES, mean_of_intervals
from sparsebench.stats.pairing import Scored, differences
from sparsebench.tables import ISO_COST

Row = Mapping[str, Any]
# What is held equal between two methods of one model: where attention is a small part, whole costs always are.
_ATTENTION = {
    "prefill": ("attention_flops", "FLOP per prompt, attention"),
    "decode": ("kv_bytes", "bytes per token, KV"),
}


@dataclass(frozen=True)
class _Duel:
    kind: str
    phase: str
    a: Row
    b: Row
    cost: str
    unit: str


def iso_cost_table(
    accuracy: pa.Table,
    models: pa.Table,
    cost_within: float = 0.1,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
) -> pa.Table:
    """Pairs of configurations at equal cost, compared over tasks (``ACCURACY`` and ``MODELS`` to ``ISO_COST``).

    - ``sizes``: a sparse configuration of a larger model (a) against a smaller one (b), dense or at the same method,
      wherever the whole models' costs differ by at most ``cost_within``.
    - ``methods``: two methods of one model, each sparsity of the first by name (a) against the nearest in attention
      cost of the second (b), if within ``cost_within``.
    - Both have the same tasks, of those with signal for at least one model: for ``sizes`` all of them, for ``methods``
      all that their model has. Controls take no part.
    - Where both answered the same samples (models of one tokenizer) the difference is paired: per task as in the
      accuracy table, tasks combined by squaring and adding. Elsewhere it is made from both Wilson intervals (Newcombe's
      hybrid score interval) and there is no p.
    """
    frame = tasks_with_signal(pl.DataFrame(pl.from_arrow(accuracy)))
    facts = {row["model"]: row for row in models.to_pylist()}
    duels: list[_Duel] = []
    for _, group in frame.filter(~pl.col("control")).group_by("length_tok", maintain_order=True):
        for phase in PHASES:
            if not (group["phase"] == phase).any():
                continue
            lines = over_tasks(group.filter(pl.col("phase").is_in([DENSE, phase])).with_columns(phase=pl.lit(phase)))
            of_all = lines.filter(pl.col("n_tasks") == group["task"].n_unique())
            duels += _sizes(of_all.to_dicts(), phase, facts, cost_within)
            duels += _methods(lines.filter(MODEL_COMPLETE).to_dicts(), phase, cost_within)
    if not duels:
        return ISO_COST.empty_table()
    lines = _compared(duels, facts, resamples, permutations)
    order = ["kind", "length_tok", "phase", "model_a", "method_a", "sparsity_a", "model_b", "method_b", "sparsity_b"]
    return lines.sort(order).select(ISO_COST.names).to_arrow().cast(ISO_COST)


def _sizes(rows: Sequence[Row], phase: str, facts: Mapping[str, Row], within: float) -> Iterator[_Duel]:
    by_model: dict[str, list[Row]] = {}
    for row in rows:
        by_model.setdefault(row["model"], []).append(row)
    for large, small in permutations(by_model, 2):
        if facts[large]["parameters"] <= facts[small]["parameters"]:
            continue
        for a in by_model[large]:
            for b in by_model[small]:
                rival = b["method"] in (DENSE, a["method"]) and a["method"] != DENSE
                if rival and _near(a, b, "cost", within):
                    yield _Duel("sizes", phase, a, b, "cost", UNITS[phase])


def _methods(rows: Sequence[Row], phase: str, within: float) -> Iterator[_Duel]:
    if phase not in _ATTENTION:
        return
    cost, unit = _ATTENTION[phase]
    by_method: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["method"] != DENSE:
            by_method.setdefault((row["model"], row["method"]), []).append(row)
    for first, second in combinations(sorted(by_method), 2):
        if first[0] != second[0]:
            continue
        for a in by_method[first]:
            b = min(by_method[second], key=lambda r: abs(np.log(r[cost] / a[cost])))
            if _near(a, b, cost, within):
                yield _Duel("methods", phase, a, b, cost, unit)


def _near(a: Row, b: Row, cost: str, within: float) -> bool:
    return bool(abs(a[cost] - b[cost]) <= within * max(a[cost], b[cost]))


def _compared(duels: list[_Duel], facts: Mapping[str, Row], resamples: int, permutations: int) -> pl.DataFrame:
    paired = [facts[d.a["model"]]["tokenizer"] == facts[d.b["model"]]["tokenizer"] for d in duels]
    scored = [(_scored(d.a), _scored(d.b)) for d in duels]
    rounds = [
        pair
        for pairs in ([*zip(*s, strict=True)] for s, yes in zip(scored, paired, strict=True) if yes)
        for pair in pairs
    ]
    found = iter(differences(rounds, resamples))
    lines: list[dict[str, Any]] = []
    gaps: list[npt.NDArray[np.float64]] = []
    for duel, (mine, theirs), yes in zip(duels, scored, paired, strict=True):
        if yes:
            per_task = [next(found) for _ in mine]
            if any(d.mean is None for d in per_task):
                continue
            mean, low, high = ([getattr(d, end) for d in per_task] for end in ("mean", "low", "high"))
            gaps.append(_weighted(mine, theirs))
            n = sum(d.n_pairs for d in per_task)
        else:
            mean, low, high = _unpaired(duel.a, duel.b)
            n = min(duel.a["n"], duel.b["n"])
        lines.append(_line(duel, yes, n, float(np.mean(mean)), *mean_of_intervals(mean, low, high)))
    if not lines:
        return pl.DataFrame(schema=pl.DataFrame(pl.from_arrow(ISO_COST.empty_table())).schema)
    kinds = Counter(line["kind"] for line in lines if line["paired"])
    tested = iter(permutation_p(gaps, permutations, family=max(kinds.values(), default=0)))
    for line in lines:
        line["p"] = float(next(tested)) if line["paired"] else None
    frame = (
        pl.DataFrame(lines, infer_schema_length=None).with_columns(pl.col("p").cast(pl.Float64)).with_row_index("at")
    )
    adjusted = (
        frame.filter(pl.col("p").is_not_null())
        .group_by("kind")
        .agg("at", pl.col("p").map_batches(lambda p: pl.Series(holm(p)), return_dtype=pl.Float64).alias("p_holm"))
        .explode("at", "p_holm")
    )
    return frame.join(adjusted.select("at", "p_holm"), on="at", how="left")


def _scored(row: Row) -> list[Scored]:
    return [Scored.of(samples, scores) for samples, scores in zip(row["samples"], row["scores"], strict=True)]


def _weighted(mine: list[Scored], theirs: list[Scored]) -> npt.NDArray[np.float64]:
    """Paired differences of all tasks, scaled so that their mean is the mean over tasks."""
    gaps = [np.subtract(*a.paired(b)) for a, b in zip(mine, theirs, strict=True)]
    total = sum(map(len, gaps))
    return np.concatenate([d * total / len(d) / len(gaps) for d in gaps])


def _unpaired(a: Row, b: Row) -> tuple[list[float], list[float], list[float]]:
    """Difference of means per task, with Newcombe's hybrid score interval (1998, method 10)."""
    ma, mb = np.asarray(a["means"]), np.asarray(b["means"])
    gap = ma - mb
    low = gap - np.hypot(ma - np.asarray(a["accuracy_low"]), np.asarray(b["accuracy_high"]) - mb)
    high = gap + np.hypot(np.asarray(a["accuracy_high"]) - ma, mb - np.asarray(b["accuracy_low"]))
    return gap.tolist(), low.tolist(), high.tolist()


def _line(duel: _Duel, paired: bool, n: int, gap: float, low: float, high: float) -> dict[str, Any]:
    line = {"kind": duel.kind, "length_tok": duel.a["length_tok"], "phase": duel.phase, "cost_unit": duel.unit}
    for side, row in (("a", duel.a), ("b", duel.b)):
        line |= {f"{name}_{side}": row[name] for name in ("model", "method", "sparsity", "accuracy")}
        line[f"cost_{side}"] = row[duel.cost]
    winner = "a" if low > 0 else "b" if high < 0 else "undecided"
    about = {"tasks": duel.a["tasks"], "n_tasks": duel.a["n_tasks"], "n": n, "paired": paired, "winner": winner}
    return line | about | {"difference": gap, "difference_low": low, "difference_high": high}
