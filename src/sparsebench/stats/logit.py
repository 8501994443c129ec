"""Accuracy between chance and 1 as a logistic curve of a few terms, fitted by weighted scores of many draws at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit

Array = npt.NDArray[np.float64]

# A normal prior of this standard deviation, in log-odds, on every coefficient: where all cells score 0 or 1 the
# coefficient would else be infinite. Cells of a few samples outweigh it.
PRIOR_SD = 5.0
_STEPS, _LARGEST_STEP, _DONE = 50, 2.0, 1e-6
_BATCH = 4_000_000


def predict(terms: Array, coefficients: Array, chance: Array) -> Array:
    """Accuracy ``chance + (1 - chance) * expit(terms . coefficients)``, [..., cells].

    Parameters
    ----------
    terms
        [cells, terms].
    coefficients
        [..., terms].
    chance
        [cells].
    """
    return chance + (1 - chance) * expit(coefficients @ terms.T)


def fit(terms: Array, accuracy: Array, n: Array, chance: Array, start: Array | None = None) -> Array:
    """Coefficients by quasi-binomial likelihood (Fisher scoring), a fit per draw.

    The variance of a cell is taken as that of ``n`` right-or-wrong scores; graded scores vary less, which changes the
    weights of cells but biases nothing.

    Parameters
    ----------
    terms
        [cells, terms].
    accuracy
        [draws, cells] mean scores.
    n, chance
        [cells] samples and score of a guesser.
    start
        [terms] first guess, the same for all draws.

    Returns
    -------
    [draws, terms].

    Source: McCullagh and Nelder 1989, Generalized Linear Models, chapters 4 and 9.
    """
    k = terms.shape[1]
    first = np.zeros(k) if start is None else start
    size = max(1, _BATCH // (len(terms) * k))
    return np.concatenate(
        [_fit(terms, accuracy[i : i + size], n, chance, first) for i in range(0, len(accuracy), size)]
    )


def _fit(terms: Array, accuracy: Array, n: Array, chance: Array, start: Array) -> Array:
    found = np.repeat(start[None], len(accuracy), 0)
    prior = np.eye(terms.shape[1]) / PRIOR_SD**2
    for _ in range(_STEPS):
        share = expit(found @ terms.T)
        mean = np.clip(chance + (1 - chance) * share, 1e-9, 1 - 1e-9)
        slope = (1 - chance) * share * (1 - share)
        precision = n / (mean * (1 - mean))
        gradient = (precision * slope * (accuracy - mean)) @ terms - found @ prior
        weighted = (precision * slope**2)[:, :, None] * terms
        step = np.linalg.solve(terms.T @ weighted + prior, gradient[..., None])[..., 0]
        largest = np.abs(step).max(-1, keepdims=True)
        found = found + step * np.minimum(1.0, _LARGEST_STEP / np.maximum(largest, _LARGEST_STEP))
        if largest.max() < _DONE:
            break
    return found
