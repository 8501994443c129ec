"""Key blocks of least order within one budget for all heads, in plain torch: the oracle of the Triton kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsebench.counting import block_rows
from sparsebench.masks import listed


def least_blocks(order: Tensor, length: int, block: int, pairs: int) -> tuple[Tensor, Tensor]:
    """Per batch entry, the key blocks up to the greatest order for which all kept query-key pairs fit ``pairs``.

    Parameters
    ----------
    order
        float32 [B, H, N, N] by query and key block, >= 0. What lies above the diagonal is ignored; the diagonal block
        of each query block is always kept.
    length, block
        Tokens, and tokens per block; N = ceil(length / block).
    pairs
        Query-key pairs that all heads of a batch entry may keep together.

    Returns
    -------
    blocks, count
        int32 [B, H, N, N] and [B, H, N]: ascending key blocks, valid up to ``count``.
    """
    N = order.shape[-1]
    rows = block_rows(length, block, order.device)
    place = torch.arange(N, device=order.device)
    above, diagonal = place[None, :] > place[:, None], place[None, :] == place[:, None]
    # the bits of floats >= 0, read as integers, keep their order: bisection over them is exact after 31 steps
    ranks = order.contiguous().view(torch.int32).masked_fill(diagonal, -1).masked_fill(above, 2**31 - 1)
    low = torch.full_like(ranks[:, 0, 0, 0], -1, dtype=torch.int64)
    high = torch.full_like(low, 2**31 - 1)
    for _ in range(32):
        middle = (low + high) // 2
        kept = (ranks <= middle[:, None, None, None]).sum(-1)
        spent = (rows * (rows + 1) // 2 + (kept - 1) * rows * block).sum((1, 2))
        low, high = torch.where(spent <= pairs, middle, low), torch.where(spent <= pairs, high, middle)
    return listed(ranks <= low[:, None, None, None], N)
