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

from sparsebench.kernels.checks import check_device, check_lists

MOST = 32768


@triton.jit
def ordered(x):
    """float32 as int32 that compare alike; both zeros are one."""
    bits = (x + 0.0).to(tl.int32, bitcast=True)
    return tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


@triton.jit
def threshold(ranks, count):
    """A t such that exactly ``count`` of at most 2**20 ``ranks`` are >= t or, with ties, the greatest that has as many.

    Each step cuts the range in four by three counts in one reduction, and ends as soon as a count is met: for values
    without ties after about log4 of their number. The least int32 marks entries that do not compete.
    """
    low = tl.min(tl.where(ranks == -2147483648, 2147483647, ranks), 0).to(tl.int64)
    high = tl.max(ranks, 0).to(tl.int64)
    while low < high:
        step = (high - low + 3) // 4
        one, two, three = low + step, tl.minimum(low + 2 * step, high), tl.minimum(low + 3 * step, high)
        marks = (ranks >= one.to(tl.int32)).to(tl.int64)
        marks += (ranks >= two.to(tl.int32)).to(tl.int64) << 21
        marks += (ranks >= three.to(tl.int32)).to(tl.int64) << 42
        counts = tl.sum(marks, 0)
        c1, c2, c3 = counts & 0x1FFFFF, (counts >> 21) & 0x1FFFFF, counts >> 42
        high = tl.where(c3 >= count, high, tl.where(c2 >= count, three - 1, tl.where(c1 >= count, two - 1, one - 1)))
        low = tl.where(c3 >= count, three, tl.where(c2 >= count, two, tl.where(c1 >= count, one, low)))
        met = (c1 == count) | (c2 == count) | (c3 == count)
        low = tl.where(c1 == count, one, tl.where(c2 == count, two, tl.where(c3 == count, three, low)))
        high = tl.where(met, low, high)
    return low.to(tl.int32)


@triton.jit
def places(ranks, count):
    """Which entries are the ``count`` greatest, and the place of each among them in order of position."""
    least = threshold(ranks, count)
    kept = (ranks >= least).to(tl.int32)
    if tl.sum(kept, 0) != count:
        # equal entries fill what is left, the first ones first
        above = (ranks > least).to(tl.int32)
        equal = kept - above
        kept = above + tl.where(tl.cumsum(equal, 0) <= count - tl.sum(above, 0), equal, 0)
    return kept != 0, tl.cumsum(kept, 0) - 1


@triton.jit
def _top_entries(scores, count, out, s_row, n, width, NP: tl.constexpr, WP: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    number = tl.load(count + row)
    at = tl.arange(0, NP)
    # padding ranks below every float, -inf included
    ranks = tl.where(at < n, ordered(tl.load(scores + row * s_row + at, mask=at < n, other=0.0)), -2147483648)
    kept, place = places(ranks, number)
    tl.store(out + row * width + place, at, mask=kept)
    rest = tl.arange(0, WP)
    tl.store(out + row * width + rest, tl.zeros([WP], tl.int32), mask=(rest >= number) & (rest < width))


def top_entries(scores: Tensor, count: Tensor, width: int) -> Tensor:
    """Positions of the ``count`` greatest entries of each row; of equal entries the first come first.

    Parameters
    ----------
    scores
        float32 [..., n], no NaN; n up to 32768.
    count
        int32, broadcast to scores' leading axes; 1 <= count <= width <= n.
    width
        Length of the lists.

    Returns
    -------
    int32 [..., width], ascending within the first ``count``; what lies past it is 0.

    Raises
    ------
    ValueError
        For a shape, dtype or device that the kernel cannot take.
    """
    op = "top_entries"
    check_device(op, scores, count)
    check_lists(op, count)
    n = scores.shape[-1]
    if scores.dtype != torch.float32 or not 1 <= n <= MOST or not 1 <= width <= n:
        raise ValueError(
            f"{op}: scores {tuple(scores.shape)} {scores.dtype} and width {width}: expected float32, at most {MOST} "
            "entries a row and a width within them"
        )
    rows = scores.contiguous().view(-1, n)
    count = count.expand(scores.shape[:-1]).contiguous()
    out = torch.empty((*scores.shape[:-1], width), dtype=torch.int32, device=scores.device)
    padded = triton.next_power_of_2(n)
    _top_entries[(rows.shape[0],)](
        rows, count, out, rows.stride(0), n, width, NP=padded, WP=triton.next_power_of_2(width),
        num_warps=1 if padded <= 512 else 2 if padded <= 1024 else 4 if padded <= 4096 else 16,
    )  # fmt: skip
    return out
