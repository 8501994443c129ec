"""Means of queries and keys over blocks of tokens, in plain torch: the oracle of the Triton kernel."""

from __future__ import annotations

import torch
from torch import Tensor


def block_means(q: Tensor, k: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Means of queries and keys over blocks of tokens.

    Parameters
    ----------
    q, k
        [B, H, T, D] and [B, G, T, D].
    block
        Tokens per block.

    Returns
    -------
    float32 [B, H, N, D] and [B, G, N, D], N = ceil(T / block); the last block over its own tokens.
    """
    return _means(q, block), _means(k, block)


def _means(x: Tensor, block: int) -> Tensor:
    whole = x.shape[2] // block * block
    # the dtype belongs to the sum: a float32 copy of all queries would cost more than the attention saves
    means = [x[:, :, :whole].unflatten(2, (-1, block)).sum(3, dtype=torch.float32) / block] if whole else []
    if whole < x.shape[2]:
        means.append(x[:, :, whole:].mean(2, keepdim=True, dtype=torch.float32))
    return means[0] if len(means) == 1 else torch.cat(means, 2)
