"""Attention over lists of key blocks per query block: the Triton kernel beside :mod:`block_sparse_ref`.

One program computes one query block of one head and walks its list. Programs of one KV head run next to each other, so
that its keys and values stay in the L2 cache, and long lists (late query blocks) start first, so that the last wave is
short. Lists ascend, so only the last entry can hold the diagonal: all others run without a mask. Blocks of 64 and more
are read through tensor descriptors, which Hopper's copy engine serves; smaller ones are gathered, several at a time.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from sparsebench.errors import UserError
from sparsebench.kernels.checks import check_prefill, fitting_stages, tile_pow2
from sparsebench.kernels.descriptor import descriptor, unit_stride
from sparsebench.kernels.online import attend_tile, logits_of

BLOCKS = (16, 32, 64, 128)


@triton.jit
def _load_rows(base, rows, stride, limit, cols, D: tl.constexpr, DP: tl.constexpr):
    """Rows [n, DP] of a matrix; columns from D on and rows from ``limit`` on are 0."""
    mask = rows[:, None] < limit
    if D < DP:
        mask = mask & (cols[None, :] < D)
    return tl.load(base + rows[:, None].to(tl.int64) * stride + cols[None, :], mask=mask, other=0.0)


@triton.jit
def _block_sparse(
    q, k, v, out, blocks, count,
    k_b, k_g, k_t, v_b, v_g, v_t, c_b, c_h, c_n,
    T, N, n, scale, cap,
    G: tl.constexpr, REP: tl.constexpr, D: tl.constexpr, DP: tl.constexpr,
    BLOCK: tl.constexpr, BN: tl.constexpr, CAP: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    group = pid // (N * REP)  # batch entry and KV head
    rest = pid % (N * REP)
    i = N - 1 - rest // REP
    b = group // G
    g = group % G
    h = g * REP + rest % REP

    cols = tl.arange(0, DP)
    queries = i * BLOCK + tl.arange(0, BLOCK)
    wide = b.to(tl.int64)
    q_tile = q.load([b, h, i * BLOCK, 0]).reshape(BLOCK, DP)
    row = (wide * G * REP + h) * N + i
    entries = blocks + row * n
    total = tl.load(count + wide * c_b + h * c_h + i * c_n)

    m = tl.full([BLOCK], float("-inf"), tl.float32)
    norm = tl.zeros([BLOCK], tl.float32)
    acc = tl.zeros([BLOCK, DP], tl.float32)
    within = tl.arange(0, BN)
    if BN <= BLOCK:
        PARTS: tl.constexpr = BLOCK // BN
        for j in tl.range(0, (total - 1) * PARTS):
            at = tl.load(entries + j // PARTS) * BLOCK + (j % PARTS) * BN
            k_tile = k.load([b, g, at, 0]).reshape(BN, DP)
            logits = logits_of(q_tile, k_tile, scale, cap, CAP, PRECISION)
            v_tile = v.load([b, g, at, 0]).reshape(BN, DP)
            m, norm, acc = attend_tile(logits, v_tile, scale, m, norm, acc, CAP, PRECISION)
        last = tl.load(entries + total - 1) * BLOCK
        for part in tl.range(0, PARTS, num_stages=1):
            at = last + part * BN
            k_tile = k.load([b, g, at, 0]).reshape(BN, DP)
            logits = logits_of(q_tile, k_tile, scale, cap, CAP, PRECISION)
            logits = tl.where((at + within)[None, :] <= queries[:, None], logits, float("-inf"))
            v_tile = v.load([b, g, at, 0]).reshape(BN, DP)
            m, norm, acc = attend_tile(logits, v_tile, scale, m, norm, acc, CAP, PRECISION)
    else:
        # Small blocks: one step takes several entries, gathered row by row.
        k_base = k + wide * k_b + g.to(tl.int64) * k_g
        v_base = v + wide * v_b + g.to(tl.int64) * v_g
        ENTRIES: tl.constexpr = BN // BLOCK
        for j in tl.range(0, total, ENTRIES):
            entry = j + within // BLOCK
            keys = tl.load(entries + entry, mask=entry < total, other=0) * BLOCK + within % BLOCK
            keys = tl.where(entry < total, keys, T)
            k_tile = _load_rows(k_base, keys, k_t, T, cols, D, DP)
            logits = logits_of(q_tile, k_tile, scale, cap, CAP, PRECISION)
            logits = tl.where((keys[None, :] <= queries[:, None]) & (keys[None, :] < T), logits, float("-inf"))
            v_tile = _load_rows(v_base, keys, v_t, T, cols, D, DP)
            m, norm, acc = attend_tile(logits, v_tile, scale, m, norm, acc, CAP, PRECISION)

    result = (acc / norm[:, None]).to(out.dtype)
    out.store([b, h, i * BLOCK, 0], result.reshape(1, 1, BLOCK, DP))


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
    """See :func:`sparsebench.kernels.block_sparse_ref.block_sparse_attention`.

    bfloat16, float16 or float32, D up to 256, blocks of 16, 32, 64 or 128 tokens; what is not contiguous along D is
    copied. Raises ``ValueError`` for a shape, dtype, block size or device that the kernel cannot take.
    """
    op = "block_sparse_attention"
    check_prefill(op, q, k, v, blocks, count)
    (B, H, T, D), G = q.shape, k.shape[1]
    if block not in BLOCKS:
        raise UserError(f"{op}: block {block}; allowed: {', '.join(map(str, BLOCKS))} (the method's params)")
    N = triton.cdiv(T, block)
    if blocks.shape[:3] != (B, H, N) or count.shape != (B, H, N):
        raise ValueError(
            f"{op}: blocks {tuple(blocks.shape)} and count {tuple(count.shape)} do not fit q {tuple(q.shape)} in "
            f"blocks of {block}: expected [{B}, {H}, {N}, n] and [{B}, {H}, {N}]"
        )
    q, k, v = (unit_stride(t) for t in (q, k, v))
    blocks = blocks.contiguous()
    out = torch.empty((B, H, T, D), dtype=q.dtype, device=q.device)
    padded, size = tile_pow2(D), q.element_size()
    tile = 64 if padded * size <= 256 else 32
    k_at, v_at = (descriptor(op, t, tile, padded) if block >= tile else t for t in (k, v))
    _block_sparse[(B * G * N * (H // G),)](
        descriptor(op, q, block, padded), k_at, v_at, descriptor(op, out, block, padded), blocks, count,
        *k.stride()[:3], *v.stride()[:3], *count.stride(),
        T, N, blocks.shape[3], scale, softcap or 0.0,
        G=G, REP=H // G, D=D, DP=padded, BLOCK=block, BN=tile, CAP=softcap is not None,
        PRECISION="ieee" if q.dtype == torch.float32 else "tf32",
        num_warps=8 if block * padded >= 128 * 128 else 4,
        num_stages=fitting_stages(q.device, block * padded * size, 2 * tile * padded * size, 2),
    )  # fmt: skip
    return out
