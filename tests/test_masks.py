from __future__ import annotations

import torch

from sparsebench.masks import listed, members


def test_a_mask_is_listed_in_order() -> None:
    mask = torch.tensor([[True, False, True, True], [False] * 4])
    entries, count = listed(mask, 3)
    assert entries.tolist() == [[0, 2, 3], [0, 0, 0]] and count.tolist() == [3, 0]
    assert torch.equal(members(entries, count, 4), mask)


def test_what_lies_past_the_count_is_no_member() -> None:
    indices = torch.tensor([[3, 0, 7, -5], [1, 99, 99, 99]])
    assert members(indices, torch.tensor([2, 1]), 4).tolist() == [
        [True, False, False, True], [False, True, False, False]
    ]  # fmt: skip
    assert not members(indices[:, :0], torch.tensor([0, 0]), 4).any()
