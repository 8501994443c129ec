"""The effects table: how sure it is that a configuration differs from dense, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from scipy import stats

from sparsebench.stats.accuracy import CELL
from sparsebench.stats.configuration import DENSE, NAMED
from sparsebench.stats.pairing import Scored
from sparsebench.tables import EFFECTS

PERMUTATIONS = 9999
ALPHA = 0.05
# The least p that can be drawn lies so many times below what the first step of Holm's correction asks for.
SPARE = 10
SETTLED = 200  # patterns as extreme as what was seen after which a p is known well enough (to 7 %)
BLOCK = 4_000_000  # sums of signed differences at once, which bounds memory
LISTED = 2**16  # patterns that are listed at least rather than drawn
SAME = 1e-12  # differences of scores below this are rounding
Array = npt.NDArray[np.float64]


def permutation_p(
    gaps: Sequence[Array], permutations: int = PERMUTATIONS, seed: int = 0, family: int | None = None
) -> Array:
    """Two-sided p of the mean of paired differences under random signs, one per list of differences.

    Pairs without a difference carry nothing: a sign does not change them. Where all others are equally large, as with
    right-or-wrong scores, the test is the exact sign (McNemar) test. Else it is exact up to ``LISTED`` patterns of
    signs, or as many as may be drawn, and drawn beyond, the same patterns for all lines: p is then no smaller than
    1 / (drawn + 1) (Phipson and Smyth 2010, doi:10.2202/1544-6115.1585).

    Parameters
    ----------
    gaps
        Differences of each line; without any difference p is 1, with a single one too.
    permutations
        Patterns drawn at least.
    family
        Tests that p is adjusted over (default: the lines). Patterns are as many that ``family`` times the least p lies
        below ``ALPHA`` by a factor of ``SPARE``: with fewer, no line of a large family could ever be found to differ.
    """
    drawn = max(permutations, ceil(SPARE * (len(gaps) if family is None else family) / ALPHA))
    found = np.ones(len(gaps))
    listed: dict[int, list[int]] = {}
    uneven: list[int] = []
    changed = [d[np.abs(d) > SAME] for d in gaps]
    for i, d in enumerate(changed):
        if len(d) and np.ptp(np.abs(d)) < SAME:
            found[i] = stats.binomtest(int((d > 0).sum()), len(d)).pvalue
        elif len(d):
            (listed.setdefault(len(d), []) if 2.0 ** len(d) <= max(drawn, LISTED) else uneven).append(i)
    for n, rows in listed.items():
        d = np.stack([changed[i] for i in rows])
        found[rows] = sum(_as_large(d, signs) for signs in _every_pattern(n, BLOCK // len(rows))) / 2.0**n
    if uneven:
        width = max(len(changed[i]) for i in uneven)
        d = np.stack([np.pad(changed[i], (0, width - len(changed[i]))) for i in uneven])
        found[uneven] = _drawn_p(d, permutations, drawn, seed)
    return found


def _drawn_p(d: Array, least: int, most: int, seed: int) -> Array:
    """From ``least`` to ``most`` patterns: no more are drawn for a line once ``SETTLED`` of them were as extreme.

    Source: Besag and Clifford 1991, doi:10.1093/biomet/78.2.301.
    """
    count, found, drawn = np.zeros(len(d)), np.ones(len(d)), 0
    open_ = np.arange(len(d))
    for signs in _drawn_patterns(d.shape[1], most, BLOCK // max(d.shape), seed):
        drawn += len(signs)
        count[open_] += _as_large(d[open_], signs)
        found[open_] = (count[open_] + 1) / (drawn + 1)
        if drawn >= least:
            open_ = open_[count[open_] < SETTLED]
        if not open_.size:
            break
    return found


def _as_large(d: Array, signs: Array) -> Array:
    """How many patterns of ``signs`` [k, n] give each line of ``d`` [lines, n] a sum as far from zero as its own."""
    least = np.abs(d.sum(-1)) - SAME * np.abs(d).sum(-1)
    return (np.abs(d @ signs.T) >= least[:, None]).sum(-1)


def _every_pattern(n: int, size: int) -> Iterator[Array]:
    for start in range(0, 2**n, max(size, 1)):
        code = np.arange(start, min(start + max(size, 1), 2**n))
        yield np.where(code[:, None] >> np.arange(n) & 1, -1.0, 1.0)


def _drawn_patterns(n: int, count: int, size: int, seed: int) -> Iterator[Array]:
    rng = np.random.default_rng(seed)
    for start in range(0, count, max(size, 1)):
        yield np.where(rng.integers(0, 2, (min(max(size, 1), count - start), n), dtype=np.int8), -1.0, 1.0)


def holm(p: npt.ArrayLike) -> Array:
    """Adjusted p-values that hold for all tests together, whatever their dependence.

    Source: Holm 1979, doi:10.2307/4615733.
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    found = np.empty_like(p)
    found[order] = np.minimum(adjusted, 1.0)
    return found


def effect_size(d: npt.ArrayLike) -> float | None:
    """Cohen's d_z of paired differences: mean over standard deviation; ``None`` when they do not vary."""
    d = np.asarray(d, dtype=np.float64)
    if len(d) < 2 or np.ptp(d) < SAME:
        return None
    return float(d.mean() / d.std(ddof=1))


def effects_table(accuracy: pa.Table, permutations: int = PERMUTATIONS) -> pa.Table:
    """Test every sparse configuration against dense, sample by sample (``ACCURACY`` to ``EFFECTS``).

    - Configurations that share no sample with dense have no line.
    - Holm's family is all that a reader of one model's results compares: its methods, sparsities, tasks and lengths.
      Controls and tasks without signal stand outside of it: they have ``p`` and no ``p_holm``.
    """
    frame = pl.DataFrame(pl.from_arrow(accuracy))
    dense = {
        tuple(row[c] for c in CELL): Scored.of(row["samples"], row["scores"])
        for row in frame.filter(pl.col("phase") == DENSE).to_dicts()
    }
    lines = frame.filter((pl.col("phase") != DENSE) & (pl.col("n_pairs") > 0))
    if not lines.height:
        return EFFECTS.empty_table()
    gaps = []
    for row in lines.select(*CELL, "samples", "scores").to_dicts():
        mine, reference = Scored.of(row["samples"], row["scores"]).paired(dense[tuple(row[c] for c in CELL)])
        gaps.append(mine - reference)
    family = pl.col("signal") & ~pl.col("control")
    largest = max(lines.filter(family).group_by("model").len()["len"], default=0)
    tested = lines.with_columns(
        pl.Series("lost", [float((d < 0).mean()) for d in gaps]),
        pl.Series("won", [float((d > 0).mean()) for d in gaps]),
        pl.Series("effect_size", [effect_size(d) for d in gaps], pl.Float64),
        pl.Series("p", permutation_p(gaps, permutations, family=largest)),
    )
    adjusted = (
        tested.with_row_index("at")
        .filter(family)
        .group_by("model")
        .agg("at", pl.col("p").map_batches(lambda p: pl.Series(holm(p)), return_dtype=pl.Float64).alias("p_holm"))
        .explode("at", "p_holm")
    )
    table = tested.with_row_index("at").join(adjusted.select("at", "p_holm"), on="at", how="left")
    return table.sort([*CELL, *NAMED]).select(EFFECTS.names).to_arrow().cast(EFFECTS)
