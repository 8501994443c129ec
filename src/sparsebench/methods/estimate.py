"""Estimates of importance that several methods share, in chunks whose size depends on shapes alone."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsebench.kernels.softcap import capped
from sparsebench.methods.base import Layer

CHUNK_ELEMENTS = 2**19  # float32 that still fit a cache; larger is slower on a CPU
CUDA_FACTOR = 128  # a GPU wants few, large launches


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
    return capped(products_per_head(q, k, layer).mul_(layer.scale), layer.softcap)


def products_per_head(q: Tensor, k: Tensor, layer: Layer) -> Tensor:
    """Logits before scale and cap, which do not change their order: float32 [..., H, T, S]."""
    *batch, H, T, D = q.shape
    G, S = k.shape[-3], k.shape[-2]
    left, right = q.reshape(-1, H // G * T, D), k.transpose(-1, -2).reshape(-1, D, S)
    if layer.impl == "triton" and q.dtype == k.dtype and q.dtype != torch.float32:
        # the matrix units add half-precision products in float32: as exact as float32 copies of all keys, without them
        products = torch.bmm(left, right, out_dtype=torch.float32)
    else:
        products = torch.bmm(left.float(), right.float())
    return products.view(*batch, H, T, S)


def line_sums(q: Tensor, k: Tensor, layer: Layer) -> tuple[Tensor, Tensor]:
    """Causal attention weights of the last queries of a prompt, summed over columns and over diagonals.

    Parameters
    ----------
    q
        [B, H, L, D]: the queries of the last L positions.
    k
        [B, G, S, D].

    Returns
    -------
    float32 [B, H, S] and [B, H, S]: by key position s, and by distance o = t - s.
    """
    if layer.impl == "triton":
        from sparsebench.kernels.line_sums import line_sums as sums
    else:
        from sparsebench.kernels.line_sums_ref import line_sums as sums
    return sums(q, k, scale=layer.scale, softcap=layer.softcap)


def block_means(q: Tensor, k: Tensor, block: int, layer: Layer) -> tuple[Tensor, Tensor]:
    """Means over blocks of positions, in float32; the last block over its own tokens.

    [B, H, T, D] and [B, G, T, D] -> [B, H, N, D] and [B, G, N, D].
    """
    if layer.impl == "triton":
        from sparsebench.kernels.block_means import block_means as means
    else:
        from sparsebench.kernels.block_means_ref import block_means as means
    return means(q, k, block)


def block_sums(x: Tensor, block: int) -> Tensor:
    """Sums over blocks of the last axis: [..., T] -> [..., N]."""
    return F.pad(x, (0, -x.shape[-1] % block)).unflatten(-1, (-1, block)).sum(-1)
