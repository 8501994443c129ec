"""Attention over columns and diagonals per head, in plain torch: the oracle of the Triton kernel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsebench.kernels.dense_ref import QUERY_CHUNK
from sparsebench.kernels.softcap import capped
from sparsebench.masks import members


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
    on_column = members(columns, column_count, T).view(B, G, H // G, 1, T)
    # row t of the mask is diagonals[t - s] over s: a window sliding along the reversed offsets
    offsets = F.pad(members(diagonals, diagonal_count, T).flip(-1), (0, QUERY_CHUNK)).view(B, G, H // G, -1)
    grouped = q.reshape(B, G, H // G, T, D)
    out = torch.empty_like(grouped, memory_format=torch.contiguous_format)
    for lo in range(0, T, QUERY_CHUNK):
        hi = min(T, lo + QUERY_CHUNK)
        on_diagonal = offsets[..., T - hi : T - lo + hi - 1].unfold(-1, hi, 1).flip(-2)
        visible = on_diagonal | on_column[..., :hi]
        visible[..., lo:hi].tril_()
        used = visible.any(-2).any(2)  # NaN in values no query of this KV head reads must not leak
        values = v[:, :, :hi].float().masked_fill(~used[..., None], 0.0)[:, :, None]
        logits = capped(grouped[:, :, :, lo:hi].float() @ k[:, :, None, :hi].float().transpose(-1, -2) * scale, softcap)
        out[:, :, :, lo:hi] = (logits.masked_fill_(~visible, -torch.inf).softmax(-1) @ values).to(q.dtype)
    return out.view(B, H, T, D)
