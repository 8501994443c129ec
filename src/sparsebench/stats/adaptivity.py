"""The adaptivity table: must the budget grow with the prompt, or do as many tokens do for any length?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from sparsebench.errors import UserError
from sparsebench.stats.configuration import DENSE
from sparsebench.stats.intervals import LEVEL, RESAMPLES
from sparsebench.stats.resampling import aligned, drawn_means
from sparsebench.stats.tolerance import SHARE
from sparsebench.tables import ADAPTIVITY

Array = npt.NDArray[np.float64]
GROUP = ["model", "phase", "method", "control"]
ALL = "all"
EXACT, AT_LEAST, BELOW = "exact", "at least", "below"


def adaptivity_table(accuracy: pa.Table, share: float = SHARE, resamples: int = RESAMPLES) -> pa.Table:
    """Tolerated sparsity at each length, and how the tokens needed grow with it (``ACCURACY`` to ``ADAPTIVITY``).

    - The share kept is followed over log2(1 / budget), straight between sparsities run, from dense on; ``tolerated`` is
      where it first falls below ``share``. ``bound`` says whether that is between two sparsities run, beyond the
      highest, or before the lowest: ``tolerated`` is then that sparsity itself, a bound.
    - ``growth`` is the slope of log2 tokens left over log2 length: 0 means that a fixed number of tokens does, 1 that
      the same share of the prompt is needed. Null where some length tolerates all sparsities run, or none: its end is
      not known.
    - The same budget is also tried directly: what the shortest length tolerates, as a share and as a number of tokens,
      is asked of all lengths; null where the shortest length tolerates none that was run.
    - Tasks are those with signal at every length; ``all`` is the mean over them, sparse over dense.
    - Intervals are percentiles over samples drawn again within each task and length, dense with them. A draw that
      tolerates all sparsities run, or none, says only on which side its value lies: an end is null where it falls among
      such draws.
    """
    if not 0 < share <= 1:
        raise UserError(f"share of dense to keep: {share}; allowed: above 0 and at most 1")
    frame = pl.DataFrame(pl.from_arrow(accuracy)).filter("signal")
    lines: list[dict[str, Any]] = []
    for key, group in frame.filter(pl.col("phase") != DENSE).sort(*GROUP).group_by(GROUP, maintain_order=True):
        about = dict(zip(GROUP, key, strict=True)) | {"share": share}
        model = frame.filter((pl.col("phase") == DENSE) & (pl.col("model") == about["model"]))
        lengths = sorted(group["length_tok"].unique())
        tasks = [t for t, there in group.group_by("task").agg(pl.col("length_tok").n_unique()).sort("task").iter_rows()
                 if there == len(lengths)]  # fmt: skip
        rng = np.random.default_rng(0)
        curves = {(task, length): _Curve.of(group, model, task, length, rng, resamples)
                  for task in tasks for length in lengths}  # fmt: skip
        for name, chosen in [*((t, [t]) for t in tasks), *([(ALL, tasks)] if tasks else [])]:
            merged = [_Curve.mean([curves[t, length] for t in chosen]) for length in lengths]
            lines += [about | {"task": name, **line} for line in _lines(merged, lengths, share)]
    if not lines:
        return ADAPTIVITY.empty_table()
    table = pl.DataFrame(lines, infer_schema_length=None)
    return (
        table.sort("model", "phase", "method", "task", "length_tok")
        .select(ADAPTIVITY.names)
        .to_arrow()
        .cast(ADAPTIVITY)
    )


class _Curve:
    """Mean scores over depth x = log2(1 / budget), dense at 0: [1 + draws, points], the data themselves first."""

    def __init__(self, x: Array, means: Array, n: int) -> None:
        self.x, self.means, self.n = x, means, n

    @classmethod
    def of(
        cls, group: pl.DataFrame, dense: pl.DataFrame, task: str, length: int, rng: np.random.Generator, draws: int
    ) -> _Curve:
        here = (pl.col("task") == task) & (pl.col("length_tok") == length)
        lines = group.filter(here).sort("sparsity")
        columns = [*dense.filter(here).select("samples", "scores").rows(), *lines.select("samples", "scores").rows()]
        scores, known = aligned(columns)
        means = np.concatenate([(scores.sum(0) / known.sum(0))[None], drawn_means(scores, known, rng, draws)])
        return cls(np.concatenate([[0.0], -np.log2(1 - lines["sparsity"].to_numpy())]), means, int(known[:, 0].sum()))

    @classmethod
    def mean(cls, curves: Sequence[_Curve]) -> _Curve:
        """Over tasks, at the depths that all have."""
        x = [value for value in curves[0].x if all(np.isclose(c.x, value).any() for c in curves)]
        at = [[int(np.argmin(abs(c.x - value))) for value in x] for c in curves]
        means = np.mean([c.means[:, i] for c, i in zip(curves, at, strict=True)], axis=0)
        return cls(np.asarray(x), means, sum(c.n for c in curves))

    @property
    def kept(self) -> Array:
        return self.means / np.maximum(self.means[:, :1], 1e-9)

    def kept_at(self, x: float) -> Array | None:
        """Share kept at a depth, between those run; ``None`` beyond the deepest."""
        if x > self.x[-1] + 1e-9:
            return None
        right = int(np.clip(np.searchsorted(self.x, x), 1, len(self.x) - 1))
        weight = np.clip((x - self.x[right - 1]) / (self.x[right] - self.x[right - 1]), 0, 1)
        return (1 - weight) * self.kept[:, right - 1] + weight * self.kept[:, right]

    def tolerated(self, share: float) -> tuple[Array, Array]:
        """Depth at which the share kept first falls below ``share``, least and most that it can be.

        The two differ where no depth run is tolerated (least is -inf, most the lowest run), or all are (most is inf).
        """
        kept = self.kept
        below = kept < share
        first = np.where(below.any(1), below.argmax(1), len(self.x) - 1)
        before = np.maximum(first - 1, 0)
        row = np.arange(len(kept))
        high, low = kept[row, before], kept[row, first]
        weight = np.where(below.any(1), (high - share) / np.maximum(high - low, 1e-12), 1.0)
        depth = self.x[before] + np.clip(weight, 0, 1) * (self.x[first] - self.x[before])
        none = below[:, :2].any(1)
        depth[none] = self.x[:2].max()
        return np.where(none, -np.inf, depth), np.where(below.any(1), depth, np.inf)


def _lines(curves: Sequence[_Curve], lengths: Sequence[int], share: float) -> list[dict[str, Any]]:
    least, most = np.stack([curve.tolerated(share) for curve in curves], axis=2)
    # The data's own depth, first of the draws: of a bound, the side that is known.
    depth = np.where(np.isfinite(least[0]), least[0], most[0])
    bounds = [AT_LEAST if high == np.inf else BELOW if low == -np.inf else EXACT
              for low, high in zip(least[0], most[0], strict=True)]  # fmt: skip
    known = len(lengths) > 1 and set(bounds) == {EXACT}
    growth = _ends("growth", *(_growth(least, most, lengths) if known else (None, None)))
    lines = []
    for i, (curve, length) in enumerate(zip(curves, lengths, strict=True)):
        same_share = curve.kept_at(depth[0]) if bounds[0] != BELOW else None
        same_tokens = curve.kept_at(depth[0] + np.log2(length / lengths[0])) if bounds[0] != BELOW else None
        tolerated = _ends("tolerated", least[:, i], most[:, i])
        lines.append(
            {
                "length_tok": length,
                "n": curve.n,
                "bound": bounds[i],
                "budget_tok": float(length * 2.0 ** -depth[i]),
                "n_lengths": len(lengths),
                **{name: None if x is None else 1 - 2.0**-x for name, x in tolerated.items()},
                **_ends("kept_same_share", same_share, same_share),
                **_ends("kept_same_tokens", same_tokens, same_tokens),
                **growth,
            }
        )
    return lines


def _growth(least: Array, most: Array, lengths: Sequence[int]) -> tuple[Array, Array]:
    """Least-squares slope of log2 tokens left over log2 length, least and most that it can be, per draw."""
    x = np.log2(np.asarray(lengths, dtype=np.float64))
    centred = x - x.mean()
    weight = -centred / (centred @ centred)
    used = np.abs(weight) > 1e-9  # a length in the middle has no say, though its depth be infinite
    low, high = np.where(weight > 0, least, most), np.where(weight > 0, most, least)
    return 1 + low[:, used] @ weight[used], 1 + high[:, used] @ weight[used]


def _ends(name: str, least: Array | None, most: Array | None) -> dict[str, float | None]:
    """The data's own value, first of the draws, and percentiles of the others; ends that are infinite are null.

    A draw lies between its ``least`` and ``most``; where the data's own are infinite, so are the ends.
    """
    if least is None or most is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    with np.errstate(invalid="ignore"):  # a percentile between two infinite draws is no number
        low, high = np.quantile(least[1:], (1 - LEVEL) / 2), np.quantile(most[1:], (1 + LEVEL) / 2)
    return {
        name: float(least[0] if np.isfinite(least[0]) else most[0]),
        f"{name}_low": float(low) if np.isfinite([low, least[0]]).all() else None,
        f"{name}_high": float(high) if np.isfinite([high, most[0]]).all() else None,
    }
