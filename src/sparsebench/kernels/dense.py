"""Dense causal attention on a GPU: torch's fused attention, cuDNN's kernel first where it takes the shapes.

A window shorter than the keys, or a cap on logits, is what none of them takes: those go through plain products, a chunk
of queries at a time. Left to itself torch prefers its FlashAttention-2 kernel, which takes 1.7 times as long on Hopper
at 131,072 tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from sparsebench.kernels.dense_ref import dense_attention as attention

ORDER = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]


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
    """See :func:`sparsebench.kernels.dense_ref.dense_attention`.

    Torch tries its backends in ``ORDER``; with ``softcap``, or a ``window`` that leaves keys out, none is used.
    """
    if softcap is None and (window is None or window >= k.shape[2]):
        k, v = own_heads(q, k, v)
    with sdpa_kernel(ORDER, set_priority=True):
        return attention(q, k, v, scale=scale, softcap=softcap, window=window, offset=offset)


def own_heads(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """k and v as a fused backend takes them beside q: in float32 none lets query heads share KV heads.

    Each then gets a copy: else only ``MATH`` is left, which stores all T x S logits.
    """
    times = q.shape[1] // k.shape[1]
    if q.dtype != torch.float32 or times == 1:
        return k, v
    return k.repeat_interleave(times, 1), v.repeat_interleave(times, 1)
