from __future__ import annotations

import pytest
import torch

from sparsebench.counting import causal_pairs
from sparsebench.kernels import least_blocks_ref


def check(B: int, H: int, T: int, block: int, device: torch.device) -> None:
    from sparsebench.kernels.least_blocks import least_blocks

    torch.manual_seed(T)
    N = -(-T // block)
    order = 1.5 * torch.rand(B, H, N, N, device=device)
    order[:, 0] = (order[:, 0] * 8).round() / 8  # many ties, zeros among them
    for budget in (0.01, 0.3, 0.9, 1.0):
        pairs = int(budget * causal_pairs(T) * H)
        blocks, count = least_blocks(order, T, block, pairs)
        want, want_count = least_blocks_ref.least_blocks(order, T, block, pairs)
        assert torch.equal(count, want_count)
        valid = torch.arange(N, device=device) < count[..., None]
        assert torch.equal(blocks[valid], want[valid])


@pytest.mark.parametrize(("B", "H", "T", "block"), [(1, 2, 6, 2), (1, 1, 5, 16), (2, 3, 130, 16), (1, 2, 1000, 16)])
def test_matches_reference(B, H, T, block, device, poison) -> None:
    check(B, H, T, block, device)


@pytest.mark.gpu
@pytest.mark.parametrize("T", [1, 63, 4097, 33000])
def test_matches_reference_on_gpu(T, gpu, poison) -> None:
    check(2, 3, T, 32, gpu)


def test_worked_by_hand(device) -> None:
    from sparsebench.kernels.least_blocks import least_blocks

    # blocks of 2 in 5 tokens; pairs of the diagonals 3 + 3 + 1, of those below 4, 2, 2
    order = torch.tensor([[[[0.0, 0.0, 0.0], [0.7, 0.0, 0.0], [0.1, 0.9, 0.0]]]], device=device)
    for ops in (least_blocks, least_blocks_ref.least_blocks):
        for pairs, want in ((7, [1, 1, 1]), (9, [1, 1, 2]), (12, [1, 1, 2]), (13, [1, 2, 2]), (15, [1, 2, 3])):
            assert ops(order, 5, 2, pairs)[1].tolist() == [[want]]
