"""Budget rules: from a share of attention to whole blocks, tokens and pages."""

from __future__ import annotations

from functools import cache

from sparsebench.counting import causal_pairs
from sparsebench.errors import UserError

BLOCK_SIZES = (16, 32, 64, 128)


def check_block(name: str, block: int) -> None:
    """``UserError`` unless ``block`` is a size that the kernels serve."""
    if block not in BLOCK_SIZES:
        raise UserError(f"{name} {block} tokens; allowed: {', '.join(map(str, BLOCK_SIZES))}")


def check_positive(name: str, value: int) -> None:
    """``UserError`` unless ``value`` is at least 1."""
    if value < 1:
        raise UserError(f"{name} {value}; allowed: 1 or more")


@cache
def blocks_per_row(length: int, block: int, budget: float) -> tuple[int, ...]:
    """Key blocks of each query block under a uniform budget, the diagonal block among them.

    Query block i keeps ``min(i + 1, k)`` key blocks with one real-valued k for all: its whole part is the largest whose
    kept pairs fit ``budget * causal_pairs(length)``; its fraction is spread evenly over the query blocks that have a
    block left to add, as Bresenham spreads a slope over pixels. The kept pairs never exceed the budget, except that
    each query block keeps at least its diagonal; what is left unspent is less than one block.

    Returns
    -------
    N = ceil(length / block) counts, each at least 1.
    """
    N = -(-length // block)
    rows = [min(block, length - i * block) for i in range(N)]
    room = budget * causal_pairs(length) - sum(r * (r + 1) // 2 for r in rows)
    whole = 1
    while whole < N and room >= (added := (length - whole * block) * block):
        room -= added
        whole += 1
    growing = N - whole
    extra = min(growing, max(0, int(room // block**2)))
    half = growing // 2  # centres the spread: the last block may be short and is not to be first

    def spread(place: int) -> int:
        return (place * extra + half) // growing

    return tuple(i + 1 if i < whole else whole + spread(i - whole + 1) - spread(i - whole) for i in range(N))


def tokens_kept(length: int, budget: float) -> int:
    """Tokens kept of ``length``: ``budget * length`` rounded, at least 1."""
    return max(1, round(budget * length))


def pages_kept(length: int, page: int, budget: float) -> int:
    """Pages kept beside the last one, which is always kept.

    As many as bring the kept tokens nearest to ``budget * length``, and one more if that is less than half of it.
    """
    last = length - (length - 1) // page * page
    pages = max(0, round((budget * length - last) / page))
    return pages + (2 * (last + pages * page) < budget * length)
