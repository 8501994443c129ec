"""Settings that the simulations share: few rounds by default, many with ``SPARSEBENCH_FULL_SIMULATIONS=1``."""

from __future__ import annotations

import os

from scipy import stats

FULL = bool(os.environ.get("SPARSEBENCH_FULL_SIMULATIONS"))
ROUNDS = 20_000 if FULL else 1_500


def covers(share: float, rounds: int) -> bool:
    """Whether intervals that held the truth in ``share`` of ``rounds`` may do so in 93 to 97 % of all cases.

    Few rounds blur the share: bounds are widened by what chance alone does in one case of a thousand.
    """
    low, high = stats.binom.ppf(0.0005, rounds, 0.93) / rounds, stats.binom.ppf(0.9995, rounds, 0.97) / rounds
    return bool(low <= share <= high)
