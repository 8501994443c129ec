"""Estimates of importance that several methods share, in chunks whose size depends on shapes alone."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsebench.kernels.softcap import capped
from sparsebench.methods.base import Layer

CHUNK_ELEMENTS = 2**22  # float32 that still fit a cache; larger is slower on a CPU
CUDA_FACTOR = 16  # a GPU wants few, large launches


def chunks(total: int, per_item: int, device: torch.device) -> Iterator[tuple[int, int]]:
    """Bounds of runs of at most ``total`` items such that a run holds about ``CHUNK_ELEMENTS`` elements.

    On a GPU runs are ``CUDA_FACTOR`` times as long.
    """
    elements = CHUNK_ELEMENTS * (CUDA_FACTOR if device.type == "cuda" else 1)
    step = max(1, elements // max(1, per_item))
    for lo in range(0, total, step):
        yield lo, min(total, lo + step)


def logits_per_head(q: Tensor, k: Tensor, layer: Layer) -> Tensor:
    """Scaled and capped logits in float32.

    Parameters
    ----------
    q
        [..., H, T, D].
    k
        [..., G, S, D], not repeated.

    Returns
    -------
    [..., H, T, S].
    """
    *batch, H, T, D = q.shape
    G, S = k.shape[-3], k.shape[-2]
    grouped = q.reshape(*batch, G, H // G * T, D)
    if layer.impl == "triton" and q.dtype == k.dtype and q.dtype != torch.float32:
        # the matrix units add half-precision products in float32: as exact as float32 copies of all keys, without them
        left, right = grouped.flatten(0, -3), k.transpose(-1, -2).flatten(0, -3)
        logits = torch.bmm(left, right, out_dtype=torch.float32)
    else:
        logits = grouped.float() @ k.float().transpose(-1, -2)
    return capped(logits.view(*batch, H, T, S).mul_(layer.scale), layer.softcap)


def last_query_weights(q: Tensor, k: Tensor, layer: Layer) -> Iterator[tuple[int, Tensor]]:
    """Causal attention weights of the last queries of a prompt, chunk by chunk.

    Parameters
    ----------
    q
        [..., H, L, D]: the queries of the last L positions.
    k
        [..., G, S, D].

    Yields
    ------
    The position of the chunk's first query, and float32 [..., H, chunk, S].
    """
    L, S = q.shape[-2], k.shape[-2]
    positions = torch.arange(S, device=q.device)
    # the batch axis must not change the chunks: sums would differ in the last bit with it
    for lo, hi in chunks(L, q.shape[-3] * S, q.device):
        logits = logits_per_head(q[..., lo:hi, :], k, layer)
        future = positions[None, :] > positions[S - L + lo : S - L + hi, None]
        yield S - L + lo, logits.masked_fill_(future, -torch.inf).softmax(-1)


def diagonal_sums(weights: Tensor, first: int) -> Tensor:
    """Sums along diagonals: entry o is the sum over queries t of ``weights[t, t - o]``.

    Parameters
    ----------
    weights
        [..., L, S]: causal weights of queries at positions ``first`` .. ``first + L - 1``.

    Returns
    -------
    [..., S] by offset o = t - s.
    """
    L, S = weights.shape[-2:]
    # reversed, key s of query t stands at S - 1 - s; offset o at that place minus (S - 1 - t), one less per query
    shift = S - first - L
    reversed_keys = F.pad(weights.flip(-1), (0, L + shift))
    width = S + L + shift
    start = L - 1 + shift
    flat = F.pad(reversed_keys.flatten(-2), (0, L + shift))
    rows = flat[..., start : start + L * (width - 1)].unflatten(-1, (L, width - 1))
    return rows[..., :S].sum(-2)


def block_means(x: Tensor, block: int) -> Tensor:
    """Means over blocks of positions, in float32: [..., T, D] -> [..., N, D]; the last block over its own tokens."""
    whole = x.shape[-2] // block * block
    # the dtype belongs to the sum: a float32 copy of all queries would cost more than the attention saves
    means = [x[..., :whole, :].unflatten(-2, (-1, block)).sum(-2, dtype=torch.float32) / block] if whole else []
    if whole < x.shape[-2]:
        means.append(x[..., whole:, :].mean(-2, keepdim=True, dtype=torch.float32))
    return means[0] if len(means) == 1 else torch.cat(means, -2)


def block_sums(x: Tensor, block: int) -> Tensor:
    """Sums over blocks of the last axis: [..., T] -> [..., N]."""
    return F.pad(x, (0, -x.shape[-1] % block)).unflatten(-1, (-1, block)).sum(-1)
