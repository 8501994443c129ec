"""Matching two configurations sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsebench.stats.intervals import RESAMPLES, difference_interval


@dataclass(frozen=True)
class Scored:
    """Scores of one configuration on one task: ``scores[i]`` belongs to sample ``samples[i]``; samples ascend."""

    samples: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]

    @classmethod
    def of(cls, samples: Sequence[int], scores: Sequence[float]) -> Scored:
        return cls(np.asarray(samples, dtype=np.int64), np.asarray(scores, dtype=np.float64))

    def paired(self, other: Scored) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Scores of both on the samples that both have."""
        _, mine, theirs = np.intersect1d(self.samples, other.samples, assume_unique=True, return_indices=True)
        return self.scores[mine], other.scores[theirs]


@dataclass(frozen=True)
class Difference:
    """Mean of the paired differences with its 95 % interval; all ``None`` when there is no pair."""

    n_pairs: int
    reference: float | None = None
    mean: float | None = None
    low: float | None = None
    high: float | None = None


def differences(pairs: Sequence[tuple[Scored, Scored | None]], resamples: int = RESAMPLES) -> list[Difference]:
    """Paired differences (first minus second) of many pairs of configurations at once.

    Rows with the same number of pairs share one bootstrap: a table of thousands of rows takes seconds.
    A missing second configuration, or one without a common sample, gives a difference of no pairs. A configuration does
    not differ from itself: its interval is [0, 0], whatever the number of samples.
    """
    matched = [mine.paired(theirs) if theirs is not None else None for mine, theirs in pairs]
    same = [mine is theirs for mine, theirs in pairs]
    found: list[Difference] = [Difference(0)] * len(pairs)
    by_n: dict[int, list[int]] = {}
    for i, match in enumerate(matched):
        if match is not None and len(match[0]):
            by_n.setdefault(len(match[0]), []).append(i)
    for n, rows in by_n.items():
        both = [m for i in rows if (m := matched[i]) is not None]
        d = np.stack([a - b for a, b in both])
        low, high = (np.where([same[i] for i in rows], 0.0, end) for end in difference_interval(d, resamples=resamples))
        for k, i in enumerate(rows):
            found[i] = Difference(n, float(both[k][1].mean()), float(d[k].mean()), float(low[k]), float(high[k]))
    return found
