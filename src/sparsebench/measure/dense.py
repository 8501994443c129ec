"""The dense baseline: the fastest backend of torch's attention that runs these shapes on this device."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from sparsebench.errors import UserError
from sparsebench.kernels.dense import own_heads
from sparsebench.measure.timing import Timing

log = logging.getLogger("sparsebench")

BACKENDS = {
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}
CHOSEN_BY_TORCH = "sdpa"


def backends(device: torch.device) -> list[str]:
    """Those worth trying on ``device``: a CPU has no choice."""
    return list(BACKENDS) if device.type == "cuda" else [CHOSEN_BY_TORCH]


def dense(backend: str, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Causal attention of q [B, H, T, D] over k, v [B, G, S, D] by one backend of torch; T = S, or T = 1.

    On a GPU the copies of shared KV heads that float32 needs are part of it, as they are in the engine.
    """
    if q.is_cuda:
        k, v = own_heads(q, k, v)
    with nullcontext() if backend == CHOSEN_BY_TORCH else sdpa_kernel(BACKENDS[backend]):
        return F.scaled_dot_product_attention(
            q, k, v, is_causal=q.shape[2] > 1, scale=scale, enable_gqa=q.shape[1] != k.shape[1]
        )


def fastest_dense(run: Callable[[str], Timing], device: torch.device) -> tuple[str, Timing]:
    """The backend with the least median; those that refuse these shapes are left out, and the log says why."""
    found: dict[str, Timing] = {}
    for backend in backends(device):
        try:
            found[backend] = run(backend)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            log.warning("dense backend %s is left out of the baseline: %s", backend, str(error).partition("\n")[0])
    if not found:
        raise UserError(
            f"no dense backend of torch runs these shapes here (tried: {', '.join(backends(device))}; the log says "
            "why not); allowed: what one of them takes: try another --dtype or --head-dim"
        )
    best = min(found, key=lambda name: found[name].median)
    return best, found[best]
