"""Attention written as slowly and plainly as possible, in float64: what every op is held against."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def naive(q: Tensor, k: Tensor, v: Tensor, visible: Tensor, scale: float, softcap: float | None = None) -> Tensor:
    """q [B, H, T, D], k and v [B, G, S, D], visible bool [B, H, T, S]: one query at a time."""
    B, H, T, D = q.shape
    group = H // k.shape[1]
    out = torch.zeros(B, H, T, D, dtype=torch.float64)
    for b in range(B):
        for h in range(H):
            for t in range(T):
                seen = visible[b, h, t].nonzero()[:, 0]
                logits = (k[b, h // group, seen].double() @ q[b, h, t].double()) * scale
                if softcap is not None:
                    logits = torch.tensor([softcap * math.tanh(x / softcap) for x in logits.tolist()]).double()
                weights = torch.exp(logits - logits.max())
                out[b, h, t] = (weights / weights.sum()) @ v[b, h // group, seen].double()
    return out


def causal(T: int) -> Tensor:
    return torch.arange(T)[None, :] <= torch.arange(T)[:, None]
