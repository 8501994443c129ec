"""Learning rate by the clock: warm-up by steps, then stable, then a decay that ends with the time budget."""

from __future__ import annotations

WARM_UP_STEPS = 150
_DECAY_FROM = 0.3
_LEAST = 0.02


def rate(steps: int, share: float, final: bool) -> float:
    """Factor on the peak learning rate.

    Parameters
    ----------
    steps
        Steps since this leg began with fresh optimizers.
    share
        Share of this leg's time that has passed.
    final
        A final leg decays linearly to 2 % over its last 70 %; another to a half over its last quarter, since mechanisms
        that a high rate keeps blurred settle then.
    """
    warm = min(1.0, (steps + 1) / WARM_UP_STEPS)
    if final:
        left = (1 - share) / (1 - _DECAY_FROM)
        return warm * max(_LEAST, min(1.0, left))
    return warm * min(1.0, 0.5 + 0.5 * max(0.0, 1 - share) / 0.25)
