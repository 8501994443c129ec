"""Attention weights of the last queries summed over columns and diagonals, in plain torch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsebench.kernels.softcap import capped

CHUNK_ELEMENTS = 2**22  # float32 that still fit a cache; larger is slower


def line_sums(q: Tensor, k: Tensor, *, scale: float, softcap: float | None = None) -> tuple[Tensor, Tensor]:
    """Causal attention weights of the last queries of a prompt, summed over columns and over diagonals.

    Parameters
    ----------
    q
        [B, H, L, D]: the queries of the last L positions.
    k
        [B, G, S, D].
    scale, softcap
        Factor on q . k, and cap of the scaled logits.

    Returns
    -------
    float32 [B, H, S] and [B, H, S]: by key position s, and by distance o = t - s. Each sums to L.
    """
    column = q.new_zeros(*q.shape[:2], k.shape[2], dtype=torch.float32)
    diagonal = torch.zeros_like(column)
    for first, weights in last_query_weights(q, k, scale, softcap):
        column += weights.sum(-2)
        diagonal += diagonal_sums(weights, first)
    return column, diagonal


def last_query_weights(q: Tensor, k: Tensor, scale: float, softcap: float | None) -> Iterator[tuple[int, Tensor]]:
    """Causal attention weights, chunk by chunk: position of the chunk's first query, and float32 [B, H, chunk, S]."""
    (B, H, L, D), (G, S) = q.shape, k.shape[1:3]
    positions = torch.arange(S, device=q.device)
    keys = k.float().transpose(-1, -2)
    # the batch axis must not change the chunks: sums would differ in the last bit with it
    step = max(1, CHUNK_ELEMENTS // (H * S))
    for lo in range(0, L, step):
        hi = min(L, lo + step)
        first, last = S - L + lo, S - L + hi
        grouped = q[:, :, lo:hi].reshape(B, G, -1, D).float()
        logits = capped((grouped @ keys).view(B, H, hi - lo, S).mul_(scale), softcap)
        logits[..., first:].masked_fill_(positions[first:] > positions[first:last, None], -torch.inf)
        yield first, logits.softmax(-1)


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
