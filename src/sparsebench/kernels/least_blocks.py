"""Key blocks of least order within one budget for all heads: the Triton kernels beside :mod:`least_blocks_ref`.

The threshold is found in four passes of 8 bits over the bits of the orders, which compare like the floats they are: a
pass adds up the pairs behind each value of its 8 bits, and one program picks the value at which the budget ends.
Sums are integers, so the order in which programs add them does not matter.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from sparsebench.kernels.checks import check_device, check_most, tile_pow2

MOST = 32768
BINS = tl.constexpr(256)
SHIFTS = (23, 15, 7, 0)
ROWS = 8  # query blocks per program


@triton.jit
def _histogram(
    order, state, sums, H, N, length,
    NP: tl.constexpr, BLOCK: tl.constexpr, SHIFT: tl.constexpr, BEFORE: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(0).to(tl.int64)
    b = head // H
    base = tl.load(state + b * 2)
    at = tl.arange(0, NP)
    total = tl.zeros([BINS], tl.int64)
    for i in tl.range(tl.program_id(1) * ROWS, tl.minimum(tl.program_id(1) * ROWS + ROWS, N)):
        # the longest rows first, so that the last programs are short
        row = N - 1 - i
        ranks = tl.load(order + (head * N + row) * N + at, mask=at < row, other=0.0).to(tl.int32, bitcast=True)
        value = ranks.to(tl.int64) - base
        competes = (at < row) & (value >= 0) & (value < (1 << BEFORE))
        number = tl.histogram((value >> SHIFT).to(tl.int32) & (BINS - 1), BINS, mask=competes)
        total += number.to(tl.int64) * (tl.minimum(length - row * BLOCK, BLOCK) * BLOCK)
    tl.atomic_add(sums + b * BINS + tl.arange(0, BINS), total, mask=total > 0)


@triton.jit
def _choose(state, sums, pairs, SHIFT: tl.constexpr):
    """Move the threshold up by as many whole bins as still fit."""
    b = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BINS)
    here = tl.load(sums + b * BINS + at)
    spent = tl.load(state + b * 2 + 1) + tl.cumsum(here, 0)
    fits = spent <= pairs
    bins = tl.sum(fits.to(tl.int64), 0)
    tl.store(state + b * 2, tl.load(state + b * 2) + (bins << SHIFT))
    tl.store(state + b * 2 + 1, tl.load(state + b * 2 + 1) + tl.sum(tl.where(fits, here, 0), 0))


@triton.jit
def _write(order, state, blocks, count, H, N, NP: tl.constexpr):
    pid = tl.program_id(0).to(tl.int64)
    row = (pid % N).to(tl.int32)
    limit = tl.load(state + pid // N // H * 2)
    at = tl.arange(0, NP)
    ranks = tl.load(order + pid * N + at, mask=at < row, other=0.0).to(tl.int32, bitcast=True)
    kept = ((at < row) & (ranks.to(tl.int64) < limit)) | (at == row)
    place = tl.cumsum(kept.to(tl.int32), 0) - 1
    tl.store(blocks + pid * N + place, at, mask=kept)
    tl.store(count + pid, tl.sum(kept.to(tl.int32), 0))


def least_blocks(order: Tensor, length: int, block: int, pairs: int) -> tuple[Tensor, Tensor]:
    """See :func:`sparsebench.kernels.least_blocks_ref.least_blocks`.

    N up to 32768; entries of ``blocks`` past ``count`` are not written. Raises ``ValueError`` for a shape, dtype or
    device that the kernel cannot take.
    """
    op = "least_blocks"
    check_device(op, order)
    B, H, N, _ = order.shape
    larger = block * triton.next_power_of_2(triton.cdiv(N, MOST))
    check_most(op, N, MOST, f"larger blocks: params: {{block: {larger}}}")
    if order.dtype != torch.float32 or order.shape[3] != N or triton.cdiv(length, block) != N:
        raise ValueError(
            f"{op}: order {tuple(order.shape)} {order.dtype} for {length} tokens in blocks of {block}: expected "
            "float32 [B, H, N, N] with N = ceil(length / block)"
        )
    order = order.contiguous()
    last = length - (N - 1) * block
    diagonals = ((N - 1) * block * (block + 1) + last * (last + 1)) // 2 * H
    # the threshold so far, exclusive, and the pairs below it
    state = torch.zeros((B, 2), dtype=torch.int64, device=order.device)
    sums = torch.zeros((len(SHIFTS), B, BINS.value), dtype=torch.int64, device=order.device)
    padded = tile_pow2(N, 128)
    for j, shift in enumerate(SHIFTS):
        before = 31 if j == 0 else SHIFTS[j - 1]
        _histogram[(B * H, triton.cdiv(N, ROWS))](
            order, state, sums[j], H, N, length, NP=padded, BLOCK=block, SHIFT=shift, BEFORE=before, ROWS=ROWS,
            num_warps=4,
        )  # fmt: skip
        _choose[(B,)](state, sums[j], pairs - diagonals, SHIFT=shift, num_warps=4)
    blocks = torch.empty((B, H, N, N), dtype=torch.int32, device=order.device)
    count = torch.empty((B, H, N), dtype=torch.int32, device=order.device)
    _write[(B * H * N,)](order, state, blocks, count, H, N, NP=padded, num_warps=4)
    return blocks, count
