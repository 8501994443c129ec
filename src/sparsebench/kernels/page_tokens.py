"""Tokens of the pages whose key bounds promise most: the Triton kernels beside :mod:`page_tokens_ref`.

The bound of a page is two products, of the query's positive part with the greatest keys and of its negative part with
the least ones, so the matrix units compute it and every bound is read once for all query heads of a KV head. A second
kernel turns logits into scores, keeps the best pages and writes their tokens, one program per row and KV head.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from sparsebench.kernels.checks import check_device, check_heads, check_lists, fitting_stages, tile_pow2
from sparsebench.kernels.top_entries import MOST, ordered, places

TILE = 32
PARTS = 4  # tiles per program, so that loads run ahead of the products


@triton.jit
def _bounds(
    q, lowest, highest, logits, stats, q_r, q_h, b_g, b_p, P, G, tiles, scale, cap,
    REP: tl.constexpr, M: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, BN: tl.constexpr, CAP: tl.constexpr,
    PRECISION: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    tile = pid % tiles
    rows = tl.num_programs(0) // tiles // G
    r = (pid // tiles % rows).to(tl.int64)
    g = (pid // tiles // rows).to(tl.int64)
    heads = tl.arange(0, M)
    cols = tl.arange(0, DP)
    q_at = q + r * q_r + (g * REP + heads[:, None]) * q_h + cols[None, :]
    query = tl.load(q_at, mask=(heads[:, None] < REP) & (cols[None, :] < D), other=0.0)
    positive = tl.maximum(query, 0.0).to(query.dtype)
    negative = tl.minimum(query, 0.0).to(query.dtype)
    head = (r * G + g) * REP + heads
    top = tl.full([M], float("-inf"), tl.float32)
    total = tl.zeros([M], tl.float32)
    # the last tile of a program may lie behind the last page, but its first tile never does
    for part in tl.range(0, PARTS):
        here = (tile * PARTS + part) * BN + tl.arange(0, BN)
        seen = (here[:, None] < P) & (cols[None, :] < D)
        at = g * b_g + here[:, None].to(tl.int64) * b_p + cols[None, :]
        high = tl.load(highest + at, mask=seen, other=0.0)
        low = tl.load(lowest + at, mask=seen, other=0.0)
        bound = tl.dot(positive, tl.trans(high), input_precision=PRECISION)
        bound = tl.dot(negative, tl.trans(low), bound, input_precision=PRECISION) * scale
        if CAP:
            bound = cap * (1.0 - 2.0 / (tl.exp2(bound * (2.8853900817779268 / cap)) + 1.0))
        bound = tl.where(here[None, :] < P, bound * 1.4426950408889634, float("-inf"))
        shown = (heads[:, None] < REP) & (here[None, :] < P)
        tl.store(logits + head[:, None] * P + here[None, :], bound, mask=shown)
        top_new = tl.maximum(top, tl.max(bound, 1))
        total = total * tl.exp2(top - top_new) + tl.sum(tl.exp2(bound - top_new[:, None]), 1)
        top = top_new
    tl.store(stats + (head * tiles + tile) * 2, top, mask=heads < REP)
    tl.store(stats + (head * tiles + tile) * 2 + 1, total, mask=heads < REP)


@triton.jit
def _page_tokens(
    logits, stats, pages, chosen, tokens, P, G, tiles, width, n, length,
    REP: tl.constexpr, PP: tl.constexpr, TP: tl.constexpr, PAGE: tl.constexpr, STEP: tl.constexpr,
):  # fmt: skip
    pair = tl.program_id(0).to(tl.int64)
    number = tl.load(pages + pair // G)
    at = tl.arange(0, PP)
    tile = tl.arange(0, TP)
    score = tl.zeros([PP], tl.float32)
    for rep in range(REP):
        head = pair * REP + rep
        top = tl.load(stats + (head * tiles + tile) * 2, mask=tile < tiles, other=float("-inf"))
        total = tl.load(stats + (head * tiles + tile) * 2 + 1, mask=tile < tiles, other=0.0)
        greatest = tl.max(top, 0)
        normal = greatest + tl.log2(tl.sum(total * tl.exp2(top - greatest), 0))
        score += tl.exp2(tl.load(logits + head * P + at, mask=at < P, other=float("-inf")) - normal)
    # the last page is always read, so it does not compete
    ranks = tl.where(at < P - 1, ordered(score), -2147483648)
    kept, place = places(ranks, number)
    tl.store(chosen + pair * width + place, at, mask=kept & (place < width))
    tl.debug_barrier()  # what other threads chose is read below
    last = (P - 1) * PAGE
    step = tl.arange(0, STEP)
    for j in tl.range(0, n, STEP):
        offset = j + step - (length - last)
        token = tl.load(chosen + pair * width + offset // PAGE, mask=(offset >= 0) & (offset < number * PAGE), other=0)
        token = tl.where(offset < 0, last + j + step, token * PAGE + offset % PAGE)
        tl.store(tokens + pair * n + j + step, token, mask=(j + step) < n)


def page_tokens(
    q: Tensor,
    lowest: Tensor,
    highest: Tensor,
    pages: Tensor,
    width: int,
    *,
    page: int,
    length: int,
    scale: float,
    softcap: float | None = None,
) -> Tensor:
    """Positions in the last page and in the best others, per row and KV head.

    A page's bound for a query is the sum over channels of ``max(q * lowest, q * highest)``, scaled and capped; a page's
    score is the softmax of the bounds over all pages, summed over the query heads of the KV head.

    Parameters
    ----------
    q
        [R, H, D]; bfloat16, float16 or float32, D up to 256.
    lowest, highest
        [G, P, D] in the dtype of ``q``, P up to 32768: least and greatest key of each page and channel; the last page
        may be short.
    pages
        int32 [R]: how many pages each row reads beside the last one.
    width
        The greatest of ``pages``.
    page, length
        Tokens per page, and of all P pages together.

    Returns
    -------
    int32 [R, G, n] with n = tokens of the last page + width * page: the last page's tokens, then those of the chosen
    pages. Valid are the first ``tokens of the last page + pages * page`` of each row.

    Raises
    ------
    ValueError
        For a shape, dtype or device that the kernel cannot take.
    """
    op = "page_tokens"
    check_device(op, q, lowest, highest, pages)
    check_lists(op, pages)
    (R, H, D), (G, P, _) = q.shape, lowest.shape
    check_heads(op, q, lowest, highest, H, G)
    if pages.shape != (R,) or not 0 <= width < P or P > MOST or not (P - 1) * page < length <= P * page:
        raise ValueError(
            f"{op}: pages {tuple(pages.shape)}, width {width}, {P} pages of {page} for {length} tokens and {R} rows: "
            f"expected [{R}], a width below the number of pages, at most {MOST} pages, and pages that hold the length"
        )
    q, lowest, highest = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, lowest, highest))
    if lowest.stride() != highest.stride():
        lowest, highest = lowest.contiguous(), highest.contiguous()
    tiles, padded = triton.cdiv(P, TILE * PARTS), tile_pow2(D)
    logits = torch.empty((R, H, P), dtype=torch.float32, device=q.device)
    stats = torch.empty((R, H, tiles, 2), dtype=torch.float32, device=q.device)
    chosen = torch.empty((R, G, max(1, width)), dtype=torch.int32, device=q.device)
    n = length - (P - 1) * page + width * page
    tokens = torch.empty((R, G, n), dtype=torch.int32, device=q.device)
    _bounds[(R * G * tiles,)](
        q, lowest, highest, logits, stats, *q.stride()[:2], *lowest.stride()[:2], P, G, tiles, scale, softcap or 0.0,
        REP=H // G, M=tile_pow2(H // G), D=D, DP=padded, BN=TILE, CAP=softcap is not None,
        PRECISION="ieee" if q.dtype == torch.float32 else "tf32", PARTS=PARTS, num_warps=4,
        num_stages=fitting_stages(q.device, 0, 2 * TILE * padded * q.element_size(), 3),
    )  # fmt: skip
    size = triton.next_power_of_2(P)
    _page_tokens[(R * G,)](
        logits, stats, pages.contiguous(), chosen, tokens, P, G, tiles, max(1, width), n, length,
        REP=H // G, PP=size, TP=triton.next_power_of_2(tiles), PAGE=page, STEP=1024,
        num_warps=4 if size <= 1024 else 8 if size <= 8192 else 16,
    )  # fmt: skip
    return tokens
