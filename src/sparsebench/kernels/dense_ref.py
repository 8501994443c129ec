"""Dense causal attention in plain torch: the baseline, and the oracle of every sparse op at budget 1."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsebench.kernels.softcap import capped

QUERY_CHUNK = 128


def dense_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float,
    softcap: float | None = None,
    window: int | None = None,
    offset: int | None = None,
) -> Tensor:
    """Causal attention of T queries over S keys.

    Parameters
    ----------
    q
        [B, H, T, D].
    k, v
        [B, G, S, D]; query head h reads KV head ``h // (H // G)``.
    scale
        Factor on q . k.
    softcap
        Cap of the scaled logits (Gemma 2).
    window
        Sliding window: key s is visible to query position t only if ``t - s < window``.
    offset
        Position of the first query; ``S - T`` (the queries are the last ones) when omitted. Keys behind the last query
        are never seen.

    Returns
    -------
    [B, H, T, D] in the dtype of ``q``; sums in float32.
    """
    T, S = q.shape[2], k.shape[2]
    offset = S - T if offset is None else offset
    if not 0 <= offset <= S - T:
        raise ValueError(f"offset {offset} puts {T} queries outside {S} keys; allowed: 0 to {S - T}")
    k, v = k[:, :, : offset + T], v[:, :, : offset + T]
    if softcap is None and (window is None or window >= offset + T):
        return _sdpa(q, k, v, scale, offset)
    return _masked(q, k, v, scale, softcap, window or offset + T, offset)


def _sdpa(q: Tensor, k: Tensor, v: Tensor, scale: float, offset: int) -> Tensor:
    T, gqa = q.shape[2], q.shape[1] != k.shape[1]
    if offset == 0 or T == 1:
        return F.scaled_dot_product_attention(q, k, v, is_causal=offset == 0 and T > 1, scale=scale, enable_gqa=gqa)
    keys = torch.arange(offset + T, device=q.device)
    chunks = []
    for lo in range(0, T, QUERY_CHUNK):
        hi = min(T, lo + QUERY_CHUNK)
        end = offset + hi
        visible = keys[None, :end] <= keys[offset + lo : end, None]
        chunks.append(
            F.scaled_dot_product_attention(
                q[:, :, lo:hi], k[:, :, :end], v[:, :, :end], attn_mask=visible, scale=scale, enable_gqa=gqa
            )
        )
    return torch.cat(chunks, dim=2)


def _masked(q: Tensor, k: Tensor, v: Tensor, scale: float, softcap: float | None, window: int, offset: int) -> Tensor:
    (B, H, T, D), G = q.shape, k.shape[1]
    grouped = q.reshape(B, G, H // G, T, D)
    positions = torch.arange(offset + T, device=q.device)
    out = torch.empty_like(grouped, memory_format=torch.contiguous_format)
    for lo in range(0, T, QUERY_CHUNK):
        hi = min(T, lo + QUERY_CHUNK)
        start, end = max(0, offset + lo - window + 1), offset + hi
        distance = positions[offset + lo : end, None] - positions[None, start:end]
        keys, values = k[:, :, None, start:end].float(), v[:, :, None, start:end].float()
        logits = capped(grouped[:, :, :, lo:hi].float() @ keys.transpose(-1, -2) * scale, softcap)
        logits = logits.masked_fill((distance < 0) | (distance >= window), -torch.inf)
        out[:, :, :, lo:hi] = (logits.softmax(-1) @ values).to(q.dtype)
    return out.view(B, H, T, D)
