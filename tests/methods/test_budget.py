"""Budget rules against hand-worked cases and by exhaustion."""

from __future__ import annotations

import pytest

from sparsebench.counting import causal_pairs
from sparsebench.errors import UserError
from sparsebench.methods.budget import blocks_per_row, check_block, pages_kept, tokens_kept


def pairs(counts: tuple[int, ...], length: int, block: int) -> int:
    """Pairs of query blocks that keep their diagonal and ``count - 1`` blocks below it."""
    rows = [min(block, length - i * block) for i in range(len(counts))]
    return sum(r * (r + 1) // 2 + (n - 1) * r * block for r, n in zip(rows, counts, strict=True))


def test_blocks_by_hand() -> None:
    # 8 blocks of 16: 8256 pairs, 8 diagonals of 136, each further block 256
    assert blocks_per_row(128, 16, 1.0) == (1, 2, 3, 4, 5, 6, 7, 8)
    assert blocks_per_row(128, 16, 0.0) == (1,) * 8
    # half: 4128 - 1088 = 3040 pays 11 blocks: 7 rows get a second one, 4 of the 6 that can a third
    counts = blocks_per_row(128, 16, 0.5)
    assert sum(counts) == 8 + 11 and counts[:2] == (1, 2) and sorted(counts[2:]) == [2, 2, 3, 3, 3, 3]


@pytest.mark.parametrize("block", [16, 32, 64, 128])
def test_blocks_come_as_near_as_whole_blocks_allow(block: int) -> None:
    for length in (1, 15, 64, 65, 111, 257, 1000, 4097):
        for budget in (0.01, 0.05, 0.1, 0.2, 0.33, 0.5, 0.9, 0.999, 1.0):
            counts = blocks_per_row(length, block, budget)
            kept, target = pairs(counts, length, block), budget * causal_pairs(length)
            least = pairs((1,) * len(counts), length, block)
            assert kept <= max(target, least) and all(1 <= n <= i + 1 for i, n in enumerate(counts))
            assert kept > target - 2 * block**2 or kept == causal_pairs(length)
            full = [n for i, n in enumerate(counts) if n < i + 1]
            assert not full or max(counts) - min(full) <= 1, "rows that could hold more differ by one block at most"


def test_tokens_and_pages_by_hand() -> None:
    assert [tokens_kept(1000, budget) for budget in (1.0, 0.5, 1 - 0.95, 0.0001)] == [1000, 500, 50, 1]
    # 100 tokens in pages of 16: six whole ones and a last one of 4
    assert pages_kept(100, 16, 1.0) == 6
    assert pages_kept(100, 16, 0.5) == 3  # 4 + 48 is nearest to 50
    assert pages_kept(100, 16, 0.05) == 0  # 4 is nearest to 5
    assert pages_kept(17, 16, 0.5) == 1  # 1 token alone would be less than half of 8.5
    assert pages_kept(16, 16, 0.1) == 0  # the last page is whole


def test_block_sizes_are_checked() -> None:
    with pytest.raises(UserError, match=r"block_sparse: block 48 tokens; allowed: 16, 32, 64, 128"):
        check_block("block_sparse: block", 48)
