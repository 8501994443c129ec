"""Attention over columns and diagonals per head, in plain torch: the oracle of the Triton kernel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsebench.kernels.dense_ref import QUERY_CHUNK
from sparsebench.kernels.softcap import capped
from sparsebench.masks import bounded, members

CHUNK_ELEMENTS = 2**18  # logits at once: they stay in a cache


def vertical_slash_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    columns: Tensor,
    column_count: Tensor,
    diagonals: Tensor,
    diagonal_count: Tensor,
    *,
    scale: float,
    softcap: float | None = None,
) -> Tensor:
    """Causal attention in which query t reads key s <= t if s is a column or t - s a diagonal of its head.

    Parameters
    ----------
    q
        [B, H, T, D].
    k, v
        [B, G, T, D]; query head h reads KV head ``h // (H // G)``.
    columns, column_count, diagonals, diagonal_count
        As in :class:`sparsebench.selection.LineSelection`.
    scale, softcap
        Factor on q . k, and cap of the scaled logits.

    Returns
    -------
    [B, H, T, D] in the dtype of ``q``; sums in float32. Memory: one chunk of queries times T keys.
    """
    (B, H, T, D), G = q.shape, k.shape[1]
    chunk = min(T, QUERY_CHUNK, max(16, CHUNK_ELEMENTS // (H * T)))
    columns_bound = bounds(columns, column_count, T).view(B, G, H // G, 1, T)
    # queries go in reverse: query t of a chunk then finds the bound of key s, that of t - s, in a window that slides
    # along the reversed diagonals; what lies behind their end is the future
    by_offset = F.pad(bounds(diagonals, diagonal_count, T).flip(-1), (0, chunk), value=-torch.inf)
    by_offset = by_offset.view(B, G, H // G, -1)
    place = torch.arange(chunk, device=q.device)
    reversed_q = q.reshape(B, G, H // G, T, D).flip(-2)
    keys, values = k.float().transpose(-1, -2), v.float()
    whole = bool(values.sum().isfinite())
    out = torch.empty_like(reversed_q, memory_format=torch.contiguous_format)
    for lo in range(0, T, chunk):
        hi = min(T, lo + chunk)
        bound = torch.maximum(by_offset[..., T - hi : T - lo + hi - 1].unfold(-1, hi, 1), columns_bound[..., :hi])
        bound[..., lo:hi].masked_fill_(place[: hi - lo, None] + place[: hi - lo] >= hi - lo, -torch.inf)
        seen = values[..., :hi, :]
        if not whole:  # NaN in values that no query of the chunk reads must not leak
            seen = seen.masked_fill((bound.amax((2, 3)) < 0)[..., None], 0.0)
        # the queries of a group in one product: matmul would copy keys and values for each of them
        queries = reversed_q[..., T - hi : T - lo, :].float().flatten(2, 3)
        logits = capped(queries @ keys[..., :hi] * scale, softcap).view(bound.shape)
        weights = bounded(logits, bound).softmax(-1).flatten(2, 3)
        out[..., T - hi : T - lo, :] = (weights @ seen).view(B, G, H // G, hi - lo, D)
    return out.flip(-2).view(B, H, T, D)


def bounds(indices: Tensor, count: Tensor, size: int) -> Tensor:
    """Infinity for the members, else minus infinity: the lesser of it and a logit masks several times as fast."""
    return torch.where(members(indices, count, size), torch.inf, -torch.inf)
