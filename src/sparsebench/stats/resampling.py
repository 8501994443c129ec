"""Samples drawn again, the same draw for everything that answered them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def resampled_means(rows: Sequence[Mapping[str, Any]], tokenizers: Mapping[str, str], draws: int) -> Array:
    """Means over tasks with samples drawn with replacement within each task, [draws, rows].

    Parameters
    ----------
    rows
        Each with ``model`` and, as lists of one length, ``task_names``, ``samples`` and ``scores``.
    tokenizers
        Label of the model whose samples each model answers: models of one share each draw.

    A draw that misses all samples of a row falls back to that row's own mean.
    """
    total, count = np.zeros((draws, len(rows))), np.zeros(len(rows))
    rng = np.random.default_rng(0)
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for i, row in enumerate(rows):
        for place, task in enumerate(row["task_names"]):
            found.setdefault((tokenizers.get(row["model"], row["model"]), task), []).append((i, place))
    for key in sorted(found):
        at = [i for i, _ in found[key]]
        scores, known = aligned([(rows[i]["samples"][k], rows[i]["scores"][k]) for i, k in found[key]])
        total[:, at] += drawn_means(scores, known, rng, draws)
        count[at] += 1
    return total / count


def resampled_cells(rows: Sequence[Mapping[str, Any]], tokenizers: Mapping[str, str], draws: int) -> Array:
    """Means of cells with samples drawn with replacement, [draws, rows]; cells of one prompt set share each draw.

    Parameters
    ----------
    rows
        Each with ``model``, ``task``, ``length_tok``, and ``samples`` and ``scores`` as lists.
    """
    found: dict[tuple[str, str, int], list[int]] = {}
    for i, row in enumerate(rows):
        place = (tokenizers.get(row["model"], row["model"]), row["task"], row["length_tok"])
        found.setdefault(place, []).append(i)
    rng, means = np.random.default_rng(0), np.empty((draws, len(rows)))
    for place in sorted(found):
        at = found[place]
        scores, known = aligned([(rows[i]["samples"], rows[i]["scores"]) for i in at])
        means[:, at] = drawn_means(scores, known, rng, draws)
    return means


def aligned(columns: Sequence[tuple[Sequence[int], Sequence[float]]]) -> tuple[Array, Array]:
    """Scores as a matrix [samples, columns], and which of them are known (1) or missing (0)."""
    every = np.unique(np.concatenate([np.asarray(samples) for samples, _ in columns]))
    scores, known = np.zeros((len(every), len(columns))), np.zeros((len(every), len(columns)))
    for column, (samples, values) in enumerate(columns):
        at = np.searchsorted(every, samples)
        scores[at, column], known[at, column] = values, 1.0
    return scores, known


def drawn_means(scores: Array, known: Array, rng: np.random.Generator, draws: int) -> Array:
    """Mean of each column over samples drawn with replacement, [draws, columns]; missing scores are left out."""
    n = len(scores)
    weight = rng.multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)
    count = weight @ known
    return np.where(count > 0, weight @ scores / np.maximum(count, 1), scores.sum(0) / known.sum(0))
