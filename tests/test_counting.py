"""Counted pairs and entries against masks counted one by one."""

from __future__ import annotations

import pytest
import torch

from sparsebench import counting
from sparsebench.counting import causal_pairs, decode_entries, prefill_pairs, running_sums
from sparsebench.selection import BlockSelection, Everything, LineSelection, TokenSelection


def test_causal_pairs_by_hand() -> None:
    assert [causal_pairs(n) for n in (1, 2, 3, 4)] == [1, 3, 6, 10]
    assert prefill_pairs(Everything(), 4).tolist() == [[10]]


def test_blocks_by_hand() -> None:
    # 5 tokens in blocks of 2: diagonals hold 3, 3 and 1 pairs, blocks below them 4, and 2 beside the one-row last block
    blocks = torch.tensor([[[[0, 9, 9], [0, 1, 9], [0, 2, 9]]]], dtype=torch.int32)
    count = torch.tensor([[[1, 2, 2]]], dtype=torch.int32)
    assert prefill_pairs(BlockSelection(blocks, count, 2), 5).tolist() == [[3 + (4 + 3) + (2 + 1)]]
    off_diagonal = BlockSelection(blocks[..., :1], torch.ones(1, 1, 3, dtype=torch.int32), 2)
    assert prefill_pairs(off_diagonal, 5).tolist() == [[3 + 4 + 2]]


def test_lines_by_hand() -> None:
    # 4 tokens, column 1 (3 pairs), diagonals 0 and 2 (4 + 2 pairs); they meet at (1, 1) and (3, 1)
    lines = LineSelection(
        torch.tensor([[[1, 99]]], dtype=torch.int32),
        torch.tensor([[1]], dtype=torch.int32),
        torch.tensor([[[0, 2]]], dtype=torch.int32),
        torch.tensor([[2]], dtype=torch.int32),
    )
    assert prefill_pairs(lines, 4).tolist() == [[3 + 6 - 2]]


@pytest.mark.parametrize("T", [1, 17, 63, 111])
def test_lines_equal_a_counted_mask(T: int) -> None:
    draw = torch.Generator().manual_seed(T)
    for _ in range(20):
        c, d = (int(torch.randint(0, T + 1, (1,), generator=draw)) for _ in range(2))
        columns, diagonals = (torch.randperm(T, generator=draw)[:n].sort().values for n in (c, d))
        t, s = torch.arange(T)[:, None], torch.arange(T)[None, :]
        mask = (torch.isin(s, columns) | torch.isin(t - s, diagonals)) & (s <= t)
        lines = LineSelection(
            columns.int().view(1, 1, -1), torch.tensor([[c]]), diagonals.int().view(1, 1, -1), torch.tensor([[d]])
        )
        assert prefill_pairs(lines, T).item() == mask.sum().item()


def test_decode_entries() -> None:
    tokens = TokenSelection(torch.zeros(2, 2, 7, dtype=torch.int32), torch.tensor([[3, 7], [-1, 1]], dtype=torch.int32))
    assert decode_entries(tokens, 100).tolist() == [[3, 7], [100, 1]]
    assert decode_entries(tokens, torch.tensor([100, 90])).tolist() == [[3, 7], [90, 1]]
    assert decode_entries(Everything(), 100).tolist() == [[100]]


def test_running_sums_over_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "RUN", 4)
    x = torch.arange(22.0).view(2, 11)
    assert torch.equal(running_sums(x), x.cumsum(-1))
