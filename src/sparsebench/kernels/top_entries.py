"""The greatest entries of each row, ascending by position: the Triton kernel beside :mod:`top_entries_ref`.

One program holds a row in registers, finds the exact threshold by cutting the range of its floats' bits, and writes the
positions above it in order. No sort, no second pass over memory.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from sparsebench.kernels.checks import check_device, check_lists, check_most

MOST = 32768


@triton.jit
def ordered(x):
    """float32 as int32 that compare alike; both zeros are one."""
    bits = (x + 0.0).to(tl.int32, bitcast=True)
    return tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


@triton.jit
def threshold(ranks, count, most):
    """A t such that at least ``count`` and at most ``most`` of at most 2**15 ``ranks`` are >= t.

    With too many ties for that, the greatest t that at least ``count`` reach; the least rank of all if fewer compete.
    The least int32 marks entries that do not compete.
    """
    return threshold_from(ranks, count, most, tl.min(tl.where(ranks == -2147483648, 2147483647, ranks), 0))


@triton.jit
def threshold_from(ranks, count, most, low):
    """:func:`threshold` where at least ``count`` ranks are known to reach ``low``, or all do.

    Each step cuts the range in five by four counts in one reduction: for values without ties and ``most`` = ``count``
    about log5 of their number steps.
    """
    # differences of int32 fit uint32, and what is added to low never passes the greatest rank
    span = tl.maximum(tl.max(ranks, 0), low).to(tl.uint32, bitcast=True) - low.to(tl.uint32, bitcast=True)
    while span > 0:
        step = span // 5 + 1
        two, three, four = tl.minimum(2 * step, span), tl.minimum(3 * step, span), tl.minimum(4 * step, span)
        edge1, edge2 = low + step.to(tl.int32, bitcast=True), low + two.to(tl.int32, bitcast=True)
        edge3, edge4 = low + three.to(tl.int32, bitcast=True), low + four.to(tl.int32, bitcast=True)
        # four counts of 16 bits each in one integer; halves are joined without arithmetic
        under = tl.where(ranks >= edge1, 1, 0) + tl.where(ranks >= edge2, 65536, 0)
        over = tl.where(ranks >= edge3, 1, 0) + tl.where(ranks >= edge4, 65536, 0)
        counts = tl.sum((over.to(tl.int64) << 32) | under.to(tl.int64), 0)
        lower, upper = counts.to(tl.int32), (counts >> 32).to(tl.int32)
        c1, c2, c3, c4 = lower & 0xFFFF, (lower >> 16) & 0xFFFF, upper & 0xFFFF, (upper >> 16) & 0xFFFF
        # cuts ascend: the last one that enough entries reach is the new low, and the next one ends the range
        to1, to2, to3, to4 = c1 >= count, c2 >= count, c3 >= count, c4 >= count
        rest = tl.where(to3, four - three, tl.where(to2, three - two, tl.where(to1, two - step, step)))
        rest = tl.where(to4, span - four, tl.maximum(rest, 1) - 1)
        reached = tl.where(to4, c4, tl.where(to3, c3, tl.where(to2, c2, tl.where(to1, c1, most + 1))))
        low = tl.where(to4, edge4, tl.where(to3, edge3, tl.where(to2, edge2, tl.where(to1, edge1, low))))
        span = tl.where(reached <= most, 0, rest)
    return low


@triton.jit
def places(ranks, count, least):
    """Which entries are the ``count`` greatest, given their threshold, and the place of each by position."""
    kept = (ranks >= least).to(tl.int32)
    if tl.sum(kept, 0) != count:
        # equal entries fill what is left, the first ones first
        above = (ranks > least).to(tl.int32)
        equal = kept - above
        kept = above + tl.where(tl.cumsum(equal, 0) <= count - tl.sum(above, 0), equal, 0)
    return kept != 0, tl.cumsum(kept, 0) - 1


@triton.jit
def _top_entries(
    scores, count, out, T, n, width, diagonal, NP: tl.constexpr, WP: tl.constexpr, CAUSAL: tl.constexpr,
    SINK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    t = (row % T).to(tl.int32)
    number = tl.load(count + t)
    at = tl.arange(0, NP)
    end = diagonal + t if CAUSAL else n - 1
    ranks = ordered(tl.load(scores + row * n + at, mask=at <= end, other=0.0))
    if SINK:
        ranks = tl.where(at == 0, 2147483646, ranks)
    if CAUSAL:
        ranks = tl.where(at == end, 2147483647, ranks)
    # what does not compete ranks below every float, -inf included
    ranks = tl.where(at <= end, ranks, -2147483648)
    kept, place = places(ranks, number, threshold(ranks, number, number))
    tl.store(out + row * width + place, at, mask=kept)
    rest = tl.arange(0, WP)
    tl.store(out + row * width + rest, tl.zeros([WP], tl.int32), mask=(rest >= number) & (rest < width))


def top_entries(
    scores: Tensor, count: Tensor, width: int, *, diagonal: int | None = None, sink: bool = False
) -> Tensor:
    """See :func:`sparsebench.kernels.top_entries_ref.top_entries`.

    n up to 32768. Raises ``ValueError`` for a shape, dtype or device that the kernel cannot take.
    """
    op = "top_entries"
    check_device(op, scores, count)
    check_lists(op, count)
    T, n = scores.shape[-2:]
    check_most(op, n, MOST, "larger blocks: params: {block: 128}")
    if scores.dtype != torch.float32 or not 1 <= width <= n or count.shape != (T,):
        raise ValueError(
            f"{op}: scores {tuple(scores.shape)} {scores.dtype}, count {tuple(count.shape)} and width {width}: "
            f"expected float32 [..., T, n], count [T] and a width within n"
        )
    scores, count = scores.contiguous(), count.contiguous()
    out = torch.empty((*scores.shape[:-1], width), dtype=torch.int32, device=scores.device)
    padded = triton.next_power_of_2(n)
    _top_entries[(scores.numel() // n,)](
        scores, count, out, T, n, width, diagonal or 0, NP=padded, WP=triton.next_power_of_2(width),
        CAUSAL=diagonal is not None, SINK=sink,
        num_warps=1 if padded <= 512 else 2 if padded <= 1024 else 4 if padded <= 4096 else 16,
    )  # fmt: skip
    return out
