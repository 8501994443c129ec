"""Shared estimates against loops, and lists against sorting."""

from __future__ import annotations

import pytest
import torch

from sparsebench.methods import estimate
from sparsebench.methods.base import Layer
from sparsebench.methods.estimate import block_means, block_sums, diagonal_sums, last_query_weights
from sparsebench.methods.pick import compact, first_blocks

from .attend import randn


@pytest.mark.parametrize("elements", [2**22, 600, 1])
@pytest.mark.parametrize(("L", "S"), [(1, 1), (5, 5), (7, 40), (40, 40)])
def test_last_query_weights_and_their_diagonals(monkeypatch: pytest.MonkeyPatch, L: int, S: int, elements: int) -> None:
    monkeypatch.setattr(estimate, "CHUNK_ELEMENTS", elements)
    q, k = randn(4, L, 8, seed=1), randn(2, S, 8, seed=2)
    column, diagonal = torch.zeros(4, S), torch.zeros(4, S)
    for first, weights in last_query_weights(q, k, Layer(0, 0.3, 4.0)):
        column += weights.sum(-2)
        diagonal += diagonal_sums(weights, first)
    want_column, want_diagonal = torch.zeros(4, S), torch.zeros(4, S)
    for h in range(4):
        for r in range(L):
            t = S - L + r
            logits = 4.0 * torch.tanh(k[h // 2, : t + 1] @ q[h, r] * 0.3 / 4.0)
            for s, weight in enumerate(logits.softmax(0)):
                want_column[h, s] += weight
                want_diagonal[h, t - s] += weight
    torch.testing.assert_close(column, want_column, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(diagonal, want_diagonal, atol=1e-5, rtol=1e-5)


def test_blocks_average_and_sum_their_own_tokens() -> None:
    x = torch.tensor([[1.0], [3.0], [5.0], [7.0], [100.0]])
    assert block_means(x, 2).tolist() == [[2.0], [6.0], [100.0]]
    assert block_sums(x[:, 0], 2).tolist() == [4.0, 12.0, 100.0]


def test_compact_lists_members_in_order() -> None:
    members = torch.tensor([[True, False, True, True], [False] * 4])
    entries, count = compact(members, 3)
    assert entries.tolist() == [[0, 2, 3], [0, 0, 0]] and count.tolist() == [3, 0]


def test_first_blocks_take_the_least_over_heads_and_rows() -> None:
    # 3 blocks of 2: the diagonals cost 3 each, a block below 4; two heads have 42 pairs, half of them is 21
    order = torch.full((1, 2, 3, 3), 9.0)
    order[0, 1, 2, 0] = 1.0
    order[0, 0, 0, 2] = 0.0  # above the diagonal: never
    for budget, below in ((0.5, []), (0.53, [(1, 2, 0)])):
        picked = first_blocks(order, 6, 2, budget)
        found = [
            (h, i, j)
            for h in range(2)
            for i in range(3)
            for j in picked.blocks[0, h, i, : picked.count[0, h, i]].tolist()
            if j != i
        ]
        assert found == below
