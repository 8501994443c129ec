"""Attention weights of the last queries summed over columns and diagonals: the Triton kernels beside
:mod:`line_sums_ref`.

One kernel finds each query's maximum and sum, a second recomputes the weights tile by tile and sums them where they
are, so that no [L, S] matrix is ever stored. Diagonals: each row of a tile is turned by its number, which puts a
diagonal into a column; a tile holds pieces of several bands of diagonals, which are kept apart and joined at the end.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from sparsebench.kernels.checks import check_device, check_heads, fitting_stages, tile_pow2
from sparsebench.kernels.online import logits_of

QUERIES = 64  # at once: with 128, registers leave room for fewer programs
TILE = 64
SPLITS = 32


@triton.jit
def _tile_logits(
    q_tile, k_base, k_t, s0, first, L, S, scale, cap,
    M: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, BN: tl.constexpr, CAP: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Logits [M, BN] in base 2 of the queries from ``first`` and the keys from ``s0``; -inf for what is not seen."""
    keys = s0 + tl.arange(0, BN)
    cols = tl.arange(0, DP)
    seen = (keys[:, None] < S) & (cols[None, :] < D)
    k_tile = tl.load(k_base + keys[:, None].to(tl.int64) * k_t + cols[None, :], mask=seen, other=0.0)
    logits = logits_of(q_tile, k_tile, scale, cap, CAP, PRECISION)
    if not CAP:
        logits = logits * (scale * 1.4426950408889634)
    rows = tl.arange(0, M)
    return tl.where((keys[None, :] <= first + rows[:, None]) & (rows[:, None] < L), logits, float("-inf"))


@triton.jit
def _norms(
    q, k, tops, totals, q_b, q_h, q_t, k_b, k_g, k_t, H, L, S, first, scale, cap, per, splits,
    REP: tl.constexpr, M: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, BN: tl.constexpr, CAP: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0).to(tl.int64)
    split = (pid % splits).to(tl.int32)
    b = pid // splits // H
    h = pid // splits % H
    rows = tl.arange(0, M)
    cols = tl.arange(0, DP)
    q_at = q + b * q_b + h * q_h + rows[:, None].to(tl.int64) * q_t + cols[None, :]
    q_tile = tl.load(q_at, mask=(rows[:, None] < L) & (cols[None, :] < D), other=0.0)
    k_base = k + b * k_b + h // REP * k_g
    top = tl.full([M], -1.0e30, tl.float32)
    total = tl.zeros([M], tl.float32)
    for s0 in tl.range(split * per, tl.minimum((split + 1) * per, S), BN):
        logits = _tile_logits(q_tile, k_base, k_t, s0, first, L, S, scale, cap, M, D, DP, BN, CAP, PRECISION)
        new = tl.maximum(top, tl.max(logits, 1))
        total = total * tl.exp2(top - new) + tl.sum(tl.exp2(logits - new[:, None]), 1)
        top = new
    tl.store(tops + pid * M + rows, top)
    tl.store(totals + pid * M + rows, total)


@triton.jit
def _sums(
    q, k, tops, totals, column, bands, q_b, q_h, q_t, k_b, k_g, k_t, H, L, S, first, scale, cap, per, splits, tiles,
    REP: tl.constexpr, M: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, BN: tl.constexpr, CAP: tl.constexpr,
    PRECISION: tl.constexpr, SP: tl.constexpr, BANDS: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0).to(tl.int64)
    split = (pid % splits).to(tl.int32)
    head = pid // splits
    rows = tl.arange(0, M)
    cols = tl.arange(0, DP)
    q_at = q + head // H * q_b + head % H * q_h + rows[:, None].to(tl.int64) * q_t + cols[None, :]
    q_tile = tl.load(q_at, mask=(rows[:, None] < L) & (cols[None, :] < D), other=0.0)
    k_base = k + head // H * k_b + head % H // REP * k_g
    each = tl.arange(0, SP)
    cell = (head * splits + each[:, None]) * M + rows[None, :]
    top = tl.load(tops + cell, mask=each[:, None] < splits, other=-1.0e30)
    total = tl.load(totals + cell, mask=each[:, None] < splits, other=0.0)
    greatest = tl.max(top, 0)
    total = tl.sum(total * tl.exp2(top - greatest[None, :]), 0)
    normal = greatest + tl.log2(tl.where(rows < L, total, 1.0))
    within = tl.arange(0, BN)
    turned = rows[:, None] + within[None, :]
    for s0 in tl.range(split * per, tl.minimum((split + 1) * per, S), BN):
        logits = _tile_logits(q_tile, k_base, k_t, s0, first, L, S, scale, cap, M, D, DP, BN, CAP, PRECISION)
        weights = tl.exp2(logits - normal[:, None])
        tl.store(column + head * S + s0 + within, tl.sum(weights, 0), mask=s0 + within < S)
        # row t, place j now holds key (j + t) % BN: places hold one diagonal each in every band
        lines = tl.gather(weights, turned % BN, 1)
        for band in tl.static_range(0, BANDS):
            part = tl.sum(tl.where(turned // BN == band, lines, 0.0), 0)
            tl.store(bands + ((head * BANDS + band) * tiles + s0 // BN) * BN + within, part)


def line_sums(q: Tensor, k: Tensor, *, scale: float, softcap: float | None = None) -> tuple[Tensor, Tensor]:
    """See :func:`sparsebench.kernels.line_sums_ref.line_sums`.

    bfloat16, float16 or float32, D up to 256. Raises ``ValueError`` for a shape, dtype or device that the kernel cannot
    take.
    """
    op = "line_sums"
    check_device(op, q, k)
    if q.dim() != 4 or k.dim() != 4 or q.shape[0] != k.shape[0] or not 1 <= q.shape[2] <= k.shape[2]:
        raise ValueError(
            f"{op}: q {tuple(q.shape)} and k {tuple(k.shape)} must be [B, H, L, D] and [B, G, S, D] with L <= S"
        )
    check_heads(op, q, k, k, q.shape[1], k.shape[1])
    q, k = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k))
    sums = [_some(q[:, :, lo : lo + QUERIES], k, k.shape[2] - q.shape[2] + lo, scale, softcap)
            for lo in range(0, q.shape[2], QUERIES)]  # fmt: skip
    column, diagonal = sums[0]
    for more in sums[1:]:
        column, diagonal = column + more[0], diagonal + more[1]
    return column, diagonal


def _some(q: Tensor, k: Tensor, first: int, scale: float, softcap: float | None) -> tuple[Tensor, Tensor]:
    """The same for at most ``QUERIES`` queries at positions from ``first``."""
    (B, H, L, D), (G, S) = q.shape, k.shape[1:3]
    M, padded = tile_pow2(L), tile_pow2(D)
    tiles = triton.cdiv(S, TILE)
    per = triton.cdiv(tiles, SPLITS) * TILE
    splits = triton.cdiv(S, per)
    bands_per_tile = triton.cdiv(M + TILE - 1, TILE)
    tops, totals = (torch.empty((B, H, splits, M), dtype=torch.float32, device=q.device) for _ in range(2))
    column = torch.empty((B, H, S), dtype=torch.float32, device=q.device)
    bands = torch.empty((B, H, bands_per_tile, tiles, TILE), dtype=torch.float32, device=q.device)
    inputs = (*q.stride()[:3], *k.stride()[:3], H, L, S, first, scale, softcap or 0.0, per, splits)
    size = q.element_size()
    shape = {
        "REP": H // G, "M": M, "D": D, "DP": padded, "BN": TILE, "CAP": softcap is not None,
        "PRECISION": "ieee" if q.dtype == torch.float32 else "tf32", "num_warps": 8 if M > 64 else 4,
        "num_stages": fitting_stages(q.device, (M + TILE) * padded * size, TILE * padded * size, 3),
    }  # fmt: skip
    _norms[(B * H * splits,)](q, k, tops, totals, *inputs, **shape)
    _sums[(B * H * splits,)](
        q, k, tops, totals, column, bands, *inputs, tiles, **shape, SP=triton.next_power_of_2(splits),
        BANDS=bands_per_tile,
    )  # fmt: skip
    # band c of tile n holds, at place j, the distance first - j - (n - c) * TILE
    ahead = bands_per_tile - 1
    shifted = [F.pad(bands[:, :, c], (0, 0, ahead - c, c)) for c in range(bands_per_tile)]
    joined = torch.stack(shifted).sum(0).flatten(2)
    zero = first + ahead * TILE  # where distance 0 stands; distances grow towards the front
    reached = F.pad(joined, (0, max(0, zero + 1 - joined.shape[2])))[:, :, : zero + 1].flip(-1)
    return column, F.pad(reached, (0, max(0, S - zero - 1)))[:, :, :S]
