"""Attention over lists of key blocks per query block, in plain torch: the oracle of the Triton kernel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsebench.kernels.softcap import capped


def block_sparse_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    blocks: Tensor,
    count: Tensor,
    *,
    block: int,
    scale: float,
    softcap: float | None = None,
) -> Tensor:
    """Causal attention in which each query block reads its listed key blocks only.

    Parameters
    ----------
    q
        [B, H, T, D].
    k, v
        [B, G, T, D]; query head h reads KV head ``h // (H // G)``.
    blocks, count
        int32 [B, H, N, n] and [B, H, N], as in :class:`sparsebench.selection.BlockSelection`.
    block
        Tokens per block.
    scale, softcap
        Factor on q . k, and cap of the scaled logits.

    Returns
    -------
    [B, H, T, D] in the dtype of ``q``; sums in float32. Blocks that are not listed are never read, so NaN there does
    not leak. Memory: one query block of all heads times its own keys.
    """
    (B, H, T, D), G = q.shape, k.shape[1]
    N = -(-T // block)
    if blocks.shape[:3] != (B, H, N) or count.shape != (B, H, N):
        raise ValueError(
            f"blocks {tuple(blocks.shape)} and count {tuple(count.shape)} do not fit q {tuple(q.shape)} in blocks of "
            f"{block} tokens; expected [{B}, {H}, {N}, n] and [{B}, {H}, {N}]"
        )
    padding = (0, 0, 0, N * block - T)
    k_blocks = F.pad(k, padding).view(B, G, N, block, D)
    v_blocks = F.pad(v, padding).view(B, G, N, block, D)
    batch = torch.arange(B, device=q.device)[:, None, None]
    head = torch.arange(H, device=q.device)[None, :, None] // (H // G)
    within = torch.arange(block, device=q.device)
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    for i, widest in enumerate(count.amax((0, 1)).tolist()):
        lo, hi = i * block, min(T, (i + 1) * block)
        valid = torch.arange(widest, device=q.device) < count[:, :, i, None]
        listed = torch.where(valid, blocks[:, :, i, :widest], 0).long()
        keys = k_blocks[batch, head, listed].flatten(2, 3).float()
        values = v_blocks[batch, head, listed].masked_fill(~valid[..., None, None], 0.0).flatten(2, 3).float()
        positions = torch.where(valid, listed * block, T)[..., None] + within
        queries = torch.arange(lo, hi, device=q.device)[:, None]
        visible = positions.flatten(2)[:, :, None] <= queries
        logits = capped(q[:, :, lo:hi].float() @ keys.transpose(-1, -2) * scale, softcap)
        weights = logits.masked_fill(~visible, -torch.inf).softmax(-1)
        out[:, :, lo:hi] = (weights @ values).to(q.dtype)
    return out
