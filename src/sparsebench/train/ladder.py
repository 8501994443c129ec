"""The curriculum: each task climbs a ladder of its own, from tiny contexts to the benchmark's lengths.

Retrieval forms within a few hundred steps on short contexts and does not form at all on long ones; once it has formed,
length comes quickly. A task climbs when its answers at the current level are right nine times in ten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

CLIMB = 0.9
"""Share of right answers at which a task climbs."""

_LEAST = 6
"""Micro-batches at a level before it is judged."""

_SLOW = 0.85
"""Weight of the past in the running share of right answers, per micro-batch."""


@dataclass(frozen=True)
class Level:
    """``prompt_tok``: longest prompt of the first turn; ``total_tok``: with its answer and further turns; ``params``
    replace the task's own."""

    prompt_tok: int
    total_tok: int
    params: Mapping[str, Any] = field(default_factory=dict)


def _levels(more: float, extra: int, *steps: tuple[int, dict[str, Any]]) -> tuple[Level, ...]:
    """``more``: share of the prompt's tokens for further turns; ``extra``: tokens for answers, whatever the length."""
    levels = [Level(n, min(8192, -(-int(n * (1 + more) + extra) // 64) * 64), params) for n, params in steps]
    return tuple(levels)


_LENGTHS: tuple[tuple[int, dict[str, Any]], ...] = tuple((n, {}) for n in (1024, 1536, 2048, 3072, 4096, 6144))

LADDERS: dict[str, tuple[Level, ...]] = {
    # Not a benchmark task: words, then stretches of them again.
    "copy": (
        *(Level(n, n) for n in (64, 96, 192, 384)),
        *(Level(n, n, {"pool": pool}) for n, pool in ((96, 24), (192, 40), (384, 60), (768, 100), (1536, 160))),
    ),
    "ruler_niah": _levels(
        0.6,
        64,
        (112, {"keys": 1, "queries": 1}),
        (144, {"keys": 1, "queries": 1}),
        (192, {"keys": 2, "queries": 2}),
        *((n, {}) for n in (256, 384, 512, 768)),
        *_LENGTHS,
    ),
    "ruler_vt": _levels(
        0,
        460,
        (128, {"chains": 2, "hops": 0}),
        (192, {"chains": 3, "hops": 0}),
        (192, {"chains": 3, "hops": 1}),
        (256, {"chains": 4, "hops": 2}),
        (384, {"chains": 6, "hops": 3}),
        *((n, {}) for n in (512, 768)),
        *_LENGTHS,
    ),
    "ruler_cwe": _levels(
        0,
        64,
        (128, {"common": 2, "freq_common": 6, "freq_rare": 1}),
        (160, {"common": 4, "freq_common": 5, "freq_rare": 1}),
        (256, {"common": 5, "freq_common": 7, "freq_rare": 1}),
        (384, {"common": 8, "freq_common": 8, "freq_rare": 1}),
        (512, {"freq_common": 10, "freq_rare": 1}),
        (768, {"freq_common": 14, "freq_rare": 2}),
        *_LENGTHS,
    ),
    "story_retrieval": _levels(
        0.6, 64, (256, {"questions": 1}), (384, {"questions": 2}), (512, {"questions": 3}), (768, {}), *_LENGTHS
    ),
    "story_multihop": _levels(0.4, 64, (384, {"buying": 1.0}), (512, {}), (768, {}), *_LENGTHS),
    "story_filtering": _levels(0, 64, (384, {"empty": 1}), (512, {"empty": 1}), (768, {"empty": 2}), *_LENGTHS),
}

WEIGHTS = {
    "copy": 1.5,
    "ruler_niah": 2.5,
    "ruler_vt": 1.2,
    "ruler_cwe": 1.2,
    "story_retrieval": 1.0,
    "story_multihop": 0.25,
    "story_filtering": 0.2,
}
"""Share of the micro-batches per task, before what lags gets more."""


@dataclass
class Climb:
    """Where one task stands: level, running share of right answers at it, micro-batches seen at it."""

    level: int = 0
    right: float = 0.0
    seen: int = 0


class Curriculum:
    """Levels of all tasks, and how often each (task, level) should be drawn.

    Parameters
    ----------
    weights
        Share per task; tasks left out or at 0 are not trained.
    longest_tok
        Levels with longer prompts are left out.
    """

    def __init__(self, weights: Mapping[str, float], longest_tok: int = 8192) -> None:
        self.weights = {task: weight for task, weight in weights.items() if weight > 0}
        self.levels = {
            task: [level for level in LADDERS[task] if level.prompt_tok <= longest_tok] for task in self.weights
        }
        self.climbs = {task: Climb() for task in self.weights}

    def record(self, task: str, level: int, right: float) -> bool:
        """Take in the share of right answers of one micro-batch; True if the task climbed."""
        climb = self.climbs[task]
        if level != climb.level:
            return False
        climb.seen += 1
        # A plain mean at first, so that the start at 0 does not hold a task back.
        keep = min(_SLOW, 1 - 1 / climb.seen)
        climb.right = keep * climb.right + (1 - keep) * right
        if climb.seen < _LEAST or climb.right < CLIMB or climb.level == len(self.levels[task]) - 1:
            return False
        self.climbs[task] = Climb(climb.level + 1)
        return True

    def mix(self) -> dict[tuple[str, int], float]:
        """Probability of each (task, level).

        70 % of a task's share goes to its level, 8 % to the next one, the rest to lower ones, most to the nearest.
        A task at the foot of its ladder gets twice the share of one at the top; what is done with copying gets little.
        """
        shares: dict[tuple[str, int], float] = {}
        for task, weight in self.weights.items():
            climb, top = self.climbs[task], len(self.levels[task]) - 1
            done = climb.level / max(1, top)
            if task == "copy" and climb.level == top and climb.right >= CLIMB:
                weight *= 0.2
            weight *= 2 - done
            parts = {climb.level: 0.7}
            if climb.level < top:
                parts[climb.level + 1] = 0.08
            lower = {level: 1.0 + level for level in range(climb.level)}
            for level, part in lower.items():
                parts[level] = 0.22 * part / sum(lower.values())
            total = sum(parts.values())
            for level, part in parts.items():
                shares[task, level] = weight * part / total
        total = sum(shares.values())
        return {key: share / total for key, share in shares.items()}

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs; JSON types only."""
        return {task: asdict(climb) for task, climb in self.climbs.items()}

    def restore(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Go on from a state; tasks unknown to it start at the foot, levels no longer there become the top."""
        for task, climb in state.items():
            if task in self.climbs:
                self.climbs[task] = Climb(**{**climb, "level": min(climb["level"], len(self.levels[task]) - 1)})
