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
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from sparsebench.kernels.checks import (
    check_device,
    check_heads,
    check_lists,
    check_most,
    fitting_stages,
    overlaps,
    tile_pow2,
)
from sparsebench.kernels.top_entries import MOST, ordered, places, threshold, threshold_from

TILE = 32
PARTS = 4  # tiles per program, so that loads run ahead of the products
PAGES_WRITTEN = 512  # at once
GROUP = 4  # pages of which the best one speaks for all in a first, coarse ranking


@triton.jit
def _bounds(
    q, lowest, highest, weights, stats, q_r, q_h, b_g, b_p, P, G, tiles, scale, cap,
    REP: tl.constexpr, M: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, BN: tl.constexpr, CAP: tl.constexpr,
    PRECISION: tl.constexpr, PARTS: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    if OVERLAP:
        gdc_launch_dependents()  # the ranking may start; it waits before it reads
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
        top = tl.max(bound, 1)
        # a tile behind the last page has no greatest bound
        weight = tl.exp2(bound - tl.maximum(top, -1.0e30)[:, None])
        to = head[:, None] * (tiles * PARTS * BN) + here[None, :]
        tl.store(weights + to, weight, mask=heads[:, None] < REP)
        to = (head * tiles + tile) * PARTS + part
        tl.store(stats + to * 3, top, mask=heads < REP)
        tl.store(stats + to * 3 + 1, tl.sum(weight, 1), mask=heads < REP)


@triton.jit
def _page_tokens(
    weights, stats, pages, scratch, tokens, P, G, tiles, width, n, ending,
    REP: tl.constexpr, RP: tl.constexpr, TP: tl.constexpr, BN: tl.constexpr, PAGE: tl.constexpr, STEP: tl.constexpr,
    GROUP: tl.constexpr, FEW: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    if OVERLAP:
        gdc_wait()
        gdc_launch_dependents()
    pair = tl.program_id(0).to(tl.int64)
    number = tl.load(pages + pair // G)
    tile = tl.arange(0, TP)
    there = tile < tiles
    # what turns the weights of each tile and query head into shares of all pages
    reps = tl.arange(0, RP)
    cell = stats + ((pair * REP + reps[:, None]) * tiles + tile[None, :]) * 3
    known = there[None, :] & (reps[:, None] < REP)
    top = tl.load(cell, mask=known, other=float("-inf"))
    total = tl.load(cell + 1, mask=known, other=0.0)
    share = tl.exp2(top - tl.maximum(tl.max(top, 1), -1.0e30)[:, None])
    whole = tl.where(reps < REP, tl.sum(total * share, 1), 1.0)
    tl.store(cell + 2, share / whole[:, None], mask=known)
    tl.debug_barrier()  # what other threads stored is read below
    at = tile[:, None] * BN + tl.arange(0, BN)[None, :]
    score = tl.zeros([TP, BN], tl.float32)
    for rep in tl.static_range(0, REP):
        head = pair * REP + rep
        weight = tl.load(weights + head * (tiles * BN) + at, mask=there[:, None], other=0.0)
        score += weight * tl.load(stats + (head * tiles + tile) * 3 + 2, mask=there, other=0.0)[:, None]
    at = tl.arange(0, TP * BN)
    # the last page is always read, so it does not compete
    ranks = tl.where(at < P - 1, ordered(tl.reshape(score, [TP * BN])), -2147483648)
    chosen = scratch + pair * (width + FEW + TP * BN)
    many = True
    if FEW > 0:
        # at least ``number`` and at most FEW groups hold a page of that rank, so what is wanted is among them
        store = chosen + width
        tl.store(store + FEW + at, ranks)
        best = tl.max(tl.reshape(ranks, [TP * BN // GROUP, GROUP]), 1)
        least = threshold(best, number, FEW)
        hopeful = best >= least
        left = tl.sum(hopeful.to(tl.int32), 0)
        many = (left > FEW) | (left < number)
        if not many:
            groups = tl.arange(0, TP * BN // GROUP)
            tl.store(store + tl.cumsum(hopeful.to(tl.int32), 0) - 1, groups, mask=hopeful)
            tl.debug_barrier()
            few = tl.arange(0, FEW * GROUP)
            valid = few < left * GROUP
            page = tl.load(store + few // GROUP, mask=valid, other=0) * GROUP + few % GROUP
            rank = tl.load(store + FEW + page, mask=valid, other=-2147483648)
            kept, place = places(rank, number, threshold_from(rank, number, number, least))
            tl.store(chosen + place, page, mask=kept)
    if many:
        kept, place = places(ranks, number, threshold(ranks, number, number))
        tl.store(chosen + place, at, mask=kept)
    tl.debug_barrier()
    within = tl.arange(0, PAGE)
    out = tokens + pair * n
    tl.store(out + within, (P - 1) * PAGE + within, mask=within < ending)
    for j in tl.range(0, number, STEP):
        which = j + tl.arange(0, STEP)
        page = tl.load(chosen + which, mask=which < number, other=0)
        to = ending + which[:, None] * PAGE + within[None, :]
        tl.store(out + to, page[:, None] * PAGE + within[None, :], mask=(which < number)[:, None])


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
    """See :func:`sparsebench.kernels.page_tokens_ref.page_tokens`.

    bfloat16, float16 or float32, bounds in the dtype of ``q``, D up to 256, P up to 32768. Raises ``ValueError`` for a
    shape, dtype or device that the kernel cannot take.
    """
    op = "page_tokens"
    check_device(op, q, lowest, highest, pages)
    check_lists(op, pages)
    (R, H, D), (G, P, _) = q.shape, lowest.shape
    check_heads(op, q, lowest, highest, H, G)
    larger = page * triton.next_power_of_2(triton.cdiv(P, MOST))
    check_most(op, P, MOST, f"larger pages: params: {{page: {larger}}}")
    if pages.shape != (R,) or not 0 <= width < P or not (P - 1) * page < length <= P * page:
        raise ValueError(
            f"{op}: pages {tuple(pages.shape)}, width {width}, {P} pages of {page} for {length} tokens and {R} rows: "
            f"expected [{R}], a width below the number of pages, and pages that hold the length"
        )
    q, lowest, highest = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, lowest, highest))
    if lowest.stride() != highest.stride():
        lowest, highest = lowest.contiguous(), highest.contiguous()
    tiles, padded = triton.cdiv(P, TILE * PARTS), tile_pow2(D)
    weights = torch.empty((R, H, tiles * PARTS * TILE), dtype=torch.float32, device=q.device)
    stats = torch.empty((R, H, tiles * PARTS, 3), dtype=torch.float32, device=q.device)
    rows = triton.next_power_of_2(tiles * PARTS)
    few = triton.next_power_of_2(width + width // 8 + 1)  # groups of pages that a coarse ranking leaves
    few = few if 2 * few * GROUP <= rows * TILE else 0
    scratch = torch.empty((R, G, width + few + rows * TILE), dtype=torch.int32, device=q.device)
    ending = length - (P - 1) * page
    n = ending + width * page
    tokens = torch.empty((R, G, n), dtype=torch.int32, device=q.device)
    overlap = overlaps(q.device)
    _bounds[(R * G * tiles,)](
        q, lowest, highest, weights, stats, *q.stride()[:2], *lowest.stride()[:2], P, G, tiles, scale, softcap or 0.0,
        REP=H // G, M=tile_pow2(H // G), D=D, DP=padded, BN=TILE, CAP=softcap is not None,
        PRECISION="ieee" if q.dtype == torch.float32 else "tf32", PARTS=PARTS, OVERLAP=overlap, num_warps=4,
        num_stages=fitting_stages(q.device, 0, 2 * TILE * padded * q.element_size(), 3),
    )  # fmt: skip
    _page_tokens[(R * G,)](
        weights, stats, pages.contiguous(), scratch, tokens, P, G, tiles * PARTS, width, n, ending,
        REP=H // G, RP=triton.next_power_of_2(H // G), TP=rows, BN=TILE, PAGE=page,
        STEP=min(PAGES_WRITTEN, triton.next_power_of_2(max(1, width))), GROUP=GROUP, FEW=few, OVERLAP=overlap,
        num_warps=4 if rows * TILE <= 1024 else 8 if rows * TILE <= 8192 else 16, launch_pdl=overlap,
    )  # fmt: skip
    return tokens
