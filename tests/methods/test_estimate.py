"""Shared estimates against loops, and lists against sorting."""

from __future__ import annotations

import torch

from sparsebench.methods.base import Layer
from sparsebench.methods.estimate import block_means, block_sums
from sparsebench.methods.pick import first_blocks


def test_blocks_average_and_sum_their_own_tokens() -> None:
    x = torch.tensor([[1.0], [3.0], [5.0], [7.0], [100.0]])
    queries, keys = block_means(x[None, None], x[None, None] + 1, 2, Layer(0, 1.0))
    assert queries[0, 0].tolist() == [[2.0], [6.0], [100.0]] and keys[0, 0].tolist() == [[3.0], [7.0], [101.0]]
    assert block_sums(x[:, 0], 2).tolist() == [4.0, 12.0, 100.0]


def test_first_blocks_take_the_least_over_heads_and_rows() -> None:
    # 3 blocks of 2: the diagonals cost 3 each, a block below 4; two heads have 42 pairs, half of them is 21
    order = torch.full((1, 2, 3, 3), 9.0)
    order[0, 1, 2, 0] = 1.0
    order[0, 0, 0, 2] = 0.0  # above the diagonal: never
    for budget, below in ((0.5, []), (0.53, [(1, 2, 0)])):
        picked = first_blocks(order, 6, 2, budget, Layer(0, 1.0))
        found = [
            (h, i, j)
            for h in range(2)
            for i in range(3)
            for j in picked.blocks[0, h, i, : picked.count[0, h, i]].tolist()
            if j != i
        ]
        assert found == below
