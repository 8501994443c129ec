"""95 % intervals that stay honest for few samples and for constant scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]

LEVEL = 0.95
RESAMPLES = 2000
# Below this many pairs that differ at all, a bootstrap sees too few of them to know how rare they are.
FEW = 5
# Below this many pairs a bootstrap is too narrow (90 % instead of 95 % at 10 pairs): the spread itself is uncertain.
SMALL = 30


def mean_interval(mean: npt.ArrayLike, n: npt.ArrayLike, level: float = LEVEL) -> tuple[Array, Array]:
    """Wilson interval of the mean of scores in [0, 1].

    Exact in spirit for right-or-wrong scores and conservative for others, whose variance is never above
    ``mean * (1 - mean)``. It has a positive width for constant scores and for one sample, where a bootstrap has none.

    Parameters
    ----------
    mean, n
        Mean score and number of samples; broadcast against each other. ``n`` 0 gives [0, 1].

    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    p, n = np.asarray(mean, dtype=np.float64), np.asarray(n, dtype=np.float64)
    z2 = stats.norm.ppf((1 + level) / 2) ** 2
    centre = (n * p + z2 / 2) / (n + z2)
    half = np.sqrt(z2) / (n + z2) * np.sqrt(n * p * (1 - p) + z2 / 4)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def bounded_difference_interval(d: npt.ArrayLike, level: float = LEVEL) -> tuple[Array, Array]:
    """Interval of the mean of paired differences in [-1, 1], from the Wilson intervals of gains and of losses.

    Gains ``max(d, 0)`` and losses ``max(-d, 0)`` are means of values in [0, 1]; their intervals are combined by
    squaring and adding the distances, as Newcombe does for proportions. 20 pairs without a difference: +-0.16.

    Parameters
    ----------
    d
        [..., n] differences.

    Source: Newcombe 1998, doi:10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C, method 10's idea
    without its correlation term.
    """
    d = np.asarray(d, dtype=np.float64)
    gain, loss = np.maximum(d, 0).mean(-1), np.maximum(-d, 0).mean(-1)
    (gain_low, gain_high), (loss_low, loss_high) = (mean_interval(m, d.shape[-1], level) for m in (gain, loss))
    low = gain - loss - np.hypot(gain - gain_low, loss_high - loss)
    high = gain - loss + np.hypot(gain_high - gain, loss - loss_low)
    return np.clip(low, -1, 1), np.clip(high, -1, 1)


def difference_interval(
    d: npt.ArrayLike, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Array, Array]:
    """Interval of the mean of paired differences: BCa bootstrap over samples, or bounded where that knows nothing.

    Rows with fewer than ``FEW`` differences other than zero, or with all differences equal, get
    :func:`bounded_difference_interval`: a bootstrap of constant values has width zero whatever their number. With fewer
    than ``SMALL`` pairs the interval also spans Student's.

    Parameters
    ----------
    d
        [..., n] differences in [-1, 1], n >= 1.
    """
    d = np.asarray(d, dtype=np.float64)
    if not d.shape[-1]:
        raise ValueError("no pairs: an interval needs at least one")
    rows = d.reshape(-1, d.shape[-1])
    low, high = bounded_difference_interval(rows, level)
    enough = ((np.abs(rows) > 1e-12).sum(-1) >= FEW) & (np.ptp(rows, axis=-1) > 1e-12)
    if enough.any():
        batch = max(1, 4_000_000 // rows[enough].size)  # bounds memory at about 32 MB per batch
        found = stats.bootstrap(
            (rows[enough],),
            np.mean,
            axis=-1,
            confidence_level=level,
            n_resamples=resamples,
            batch=batch,
            method="BCa",
            rng=np.random.default_rng(seed),
        ).confidence_interval
        known = np.isfinite(found.low) & np.isfinite(found.high)
        picked = np.flatnonzero(enough)[known]
        low[picked], high[picked] = found.low[known], found.high[known]
        if rows.shape[-1] < SMALL:
            t_low, t_high = _student(rows[picked], level)
            low[picked] = np.clip(np.minimum(low[picked], t_low), -1, 1)
            high[picked] = np.clip(np.maximum(high[picked], t_high), -1, 1)
    return low.reshape(d.shape[:-1]), high.reshape(d.shape[:-1])


def _student(d: Array, level: float) -> tuple[Array, Array]:
    n = d.shape[-1]
    half = stats.t.ppf((1 + level) / 2, n - 1) * d.std(-1, ddof=1) / np.sqrt(n)
    return d.mean(-1) - half, d.mean(-1) + half


def mean_of_intervals(value: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> tuple[float, float]:
    """Interval of the mean of independent estimates (strata) from their own intervals, by squaring and adding.

    Source: MOVER, Zou and Donner 2008, doi:10.1002/sim.3095.
    """
    v, lo, hi = (np.asarray(x, dtype=np.float64) for x in (value, low, high))
    k = len(v)
    return float(v.mean() - np.linalg.norm(v - lo) / k), float(v.mean() + np.linalg.norm(hi - v) / k)
