"""Means of queries and keys over blocks of tokens, in one launch: the Triton kernel beside :mod:`block_means_ref`."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from sparsebench.kernels.checks import check_device, tile_pow2

STEP = 32  # tokens read at once: enough loads in flight, few registers


@triton.jit
def _block_means(
    q, k, q_out, k_out, q_b, q_h, q_t, k_b, k_g, k_t, B, H, G, T, N,
    BLOCK: tl.constexpr, STEP: tl.constexpr, D: tl.constexpr, DP: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0).to(tl.int64)
    i = pid % N
    pair = pid // N
    if pair < B * H:
        base = q + pair // H * q_b + pair % H * q_h
        out = q_out + pid * D
        stride = q_t
    else:
        pair -= B * H
        base = k + pair // G * k_b + pair % G * k_g
        out = k_out + (pair * N + i) * D
        stride = k_t
    cols = tl.arange(0, DP)
    total = tl.zeros([DP], tl.float32)
    for j in tl.static_range(0, BLOCK, STEP):
        rows = i * BLOCK + j + tl.arange(0, STEP)
        seen = (rows[:, None] < T) & (cols[None, :] < D)
        total += tl.sum(tl.load(base + rows[:, None] * stride + cols[None, :], mask=seen, other=0.0).to(tl.float32), 0)
    size = tl.minimum(T - i * BLOCK, BLOCK).to(tl.float32)
    tl.store(out + cols, total / size, mask=cols < D)


def block_means(q: Tensor, k: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """See :func:`sparsebench.kernels.block_means_ref.block_means`.

    Inputs of any strides, in bfloat16, float16 or float32; ``block`` a power of two. Raises ``ValueError`` for a shape,
    dtype or device that the kernel cannot take.
    """
    op = "block_means"
    check_device(op, q, k)
    if q.dim() != 4 or q.shape[::2] != k.shape[::2] or q.shape[3] != k.shape[3] or block & (block - 1):
        raise ValueError(
            f"{op}: q {tuple(q.shape)} and k {tuple(k.shape)} in blocks of {block}: expected [B, H, T, D], "
            "[B, G, T, D] and a power of two"
        )
    q, k = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k))
    (B, H, T, D), G = q.shape, k.shape[1]
    N = triton.cdiv(T, block)
    queries = torch.empty((B, H, N, D), dtype=torch.float32, device=q.device)
    keys = torch.empty((B, G, N, D), dtype=torch.float32, device=q.device)
    _block_means[(B * (H + G) * N,)](
        q, k, queries, keys, *q.stride()[:3], *k.stride()[:3], B, H, G, T, N,
        BLOCK=block, STEP=min(block, STEP), D=D, DP=tile_pow2(D), num_warps=4,
    )  # fmt: skip
    return queries, keys
