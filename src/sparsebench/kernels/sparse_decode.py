"""One decode step over selected prompt entries and own suffixes: the Triton kernel beside :mod:`sparse_decode_ref`.

The keys of all (row, KV head) pairs form one long line that is cut into pieces of equal size, whatever method or length
a row has, so that a dense row beside sparse ones does not set the pace. The cut is computed on the device by every
program from the same counts: nothing is read back, and a captured CUDA graph stays right when counts change. A second
kernel merges the pieces of each pair. The query heads that share a KV head are computed together from one read of it.
Pieces are ordered by KV head, so rows that share a prompt find each other's keys in the L2 cache.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from sparsebench.kernels.checks import check_device, check_heads, check_lists, fitting_stages, overlaps, tile_pow2
from sparsebench.kernels.online import attend_tile, logits_of

PIECES_PER_PROCESSOR = 4
WARPS = 4
ROWS_PER_WAVE = 4


@triton.jit
def _lengths(span, count, suffix_len, c_r, c_g, s_r, t, R, G, P: tl.constexpr, LISTED: tl.constexpr):
    """Pair numbers [P] (KV head slowest), their selected prompt entries and all their keys (0 for padding)."""
    pair = tl.arange(0, P)
    real = pair < R * G
    row = pair % R
    selected = tl.load(count + row * c_r + pair // R * c_g, mask=real, other=0)
    whole = tl.load(span + row * 2 + 1, mask=real, other=0) - tl.load(span + row * 2, mask=real, other=0)
    selected = tl.where(selected < 0, whole, selected)
    tail = tl.load(suffix_len + row * s_r, mask=real, other=0) if LISTED else tl.where(real, t, 0)
    return pair, selected, selected + tail


@triton.jit
def _piece_size(length, target):
    """Keys per piece, a multiple of 16, so that about ``target`` pieces cover all ``length`` [P]."""
    return tl.maximum(tl.cdiv(tl.cdiv(tl.sum(length.to(tl.int64), 0), target), 16), 1).to(tl.int32) * 16


@triton.jit
def _pieces(
    q, k, v, span, tokens, count, k_suffix, v_suffix, suffix_len, part, stats,
    q_r, q_h, k_g, k_n, v_g, v_n, ks_r, ks_g, ks_t, vs_r, vs_g, vs_t,
    l_r, l_g, c_r, c_g, s_r, t, R, G, target, scale, cap,
    P: tl.constexpr, REP: tl.constexpr, M: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, BN: tl.constexpr,
    CAP: tl.constexpr, PRECISION: tl.constexpr, LISTED: tl.constexpr, OVERLAP: tl.constexpr,
):  # fmt: skip
    if OVERLAP:
        gdc_wait()  # all that came before has ended, so what the merge reads at its start is there
        gdc_launch_dependents()  # the merge may start and find its pieces; it waits before it reads them
    piece = tl.program_id(0)
    pair, selected_all, length_all = _lengths(span, count, suffix_len, c_r, c_g, s_r, t, R, G, P, LISTED)
    size = _piece_size(length_all, target)
    cuts = tl.cdiv(length_all, size)
    ends = tl.cumsum(cuts, 0)
    mine = (ends <= piece) & (pair < R * G)
    at = tl.sum(mine.to(tl.int32), 0)  # the pair that this piece belongs to
    if at >= R * G:
        return
    this = pair == at
    first = tl.sum(tl.where(this, ends - cuts, 0), 0)
    selected = tl.sum(tl.where(this, selected_all, 0), 0)
    length = tl.sum(tl.where(this, length_all, 0), 0)
    lo = (piece - first) * size
    hi = tl.minimum(lo + size, length)

    r = (at % R).to(tl.int64)
    g = (at // R).to(tl.int64)
    heads = tl.arange(0, M)
    cols = tl.arange(0, DP)
    q_at = q + r * q_r + (g * REP + heads[:, None]) * q_h + cols[None, :]
    q_tile = tl.load(q_at, mask=(heads[:, None] < REP) & (cols[None, :] < D), other=0.0)
    start = tl.load(span + r * 2).to(tl.int64)
    whole = tl.load(count + r * c_r + g * c_g) < 0
    k_base = k + g * k_g + start * k_n
    v_base = v + g * v_g + start * v_n
    ks_base = k_suffix + r * ks_r + g * ks_g
    vs_base = v_suffix + r * vs_r + g * vs_g
    listed = tokens + r * l_r + g * l_g

    m = tl.full([M], float("-inf"), tl.float32)
    norm = tl.zeros([M], tl.float32)
    acc = tl.zeros([M, DP], tl.float32)
    within = tl.arange(0, BN)
    # what lies in the prompt: whole tiles of list entries, then the part of the suffix
    middle = tl.maximum(tl.minimum(hi, selected), lo)
    for j in tl.range(lo, middle, BN):
        entry = j + within
        valid = entry < middle
        token = tl.load(listed + entry, mask=valid & (not whole), other=0)
        token = tl.where(whole, entry, token).to(tl.int64)
        seen = valid[:, None] & (cols[None, :] < D)
        k_tile = tl.load(k_base + token[:, None] * k_n + cols[None, :], mask=seen, other=0.0)
        logits = logits_of(q_tile, k_tile, scale, cap, CAP, PRECISION)
        logits = tl.where(valid[None, :], logits, float("-inf"))
        v_tile = tl.load(v_base + token[:, None] * v_n + cols[None, :], mask=seen, other=0.0)
        m, norm, acc = attend_tile(logits, v_tile, scale, m, norm, acc, CAP, PRECISION)
    for j in tl.range(middle, hi, BN, num_stages=1):
        entry = (j + within - selected).to(tl.int64)
        valid = j + within < hi
        seen = valid[:, None] & (cols[None, :] < D)
        k_tile = tl.load(ks_base + entry[:, None] * ks_t + cols[None, :], mask=seen, other=0.0)
        logits = logits_of(q_tile, k_tile, scale, cap, CAP, PRECISION)
        logits = tl.where(valid[None, :], logits, float("-inf"))
        v_tile = tl.load(vs_base + entry[:, None] * vs_t + cols[None, :], mask=seen, other=0.0)
        m, norm, acc = attend_tile(logits, v_tile, scale, m, norm, acc, CAP, PRECISION)

    head = piece.to(tl.int64) * REP + heads
    tl.store(part + head[:, None] * D + cols[None, :], acc, mask=(heads[:, None] < REP) & (cols[None, :] < D))
    tl.store(stats + head * 2, m, mask=heads < REP)
    tl.store(stats + head * 2 + 1, norm, mask=heads < REP)


@triton.jit
def _merge(
    part, stats, out, span, count, suffix_len, c_r, c_g, s_r, t, R, G, target,
    P: tl.constexpr, REP: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, LISTED: tl.constexpr, CHUNK: tl.constexpr,
    OVERLAP: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    at = pid // REP
    rep = pid % REP
    pair, _, length = _lengths(span, count, suffix_len, c_r, c_g, s_r, t, R, G, P, LISTED)
    cuts = tl.cdiv(length, _piece_size(length, target))
    first = tl.sum(tl.where(pair < at, cuts, 0), 0)
    stop = first + tl.sum(tl.where(pair == at, cuts, 0), 0)
    cols = tl.arange(0, DP)
    if OVERLAP:
        gdc_wait()
    m = tl.full([1], float("-inf"), tl.float32)
    norm = tl.zeros([1], tl.float32)
    acc = tl.zeros([DP], tl.float32)
    for j in tl.range(first, stop, CHUNK):
        piece = j + tl.arange(0, CHUNK)
        head = piece.to(tl.int64) * REP + rep
        valid = piece < stop
        m_part = tl.load(stats + head * 2, mask=valid, other=float("-inf"))
        l_part = tl.load(stats + head * 2 + 1, mask=valid, other=0.0)
        seen = valid[:, None] & (cols[None, :] < D)
        values = tl.load(part + head[:, None] * D + cols[None, :], mask=seen, other=0.0)
        m_new = tl.maximum(m, tl.max(m_part, 0))
        weight = tl.exp2(m_part - m_new)
        shrink = tl.exp2(m - m_new)
        norm = norm * shrink + tl.sum(weight * l_part, 0)
        acc = acc * shrink + tl.sum(weight[:, None] * values, 0)
        m = m_new
    h = (at // R) * REP + rep
    to = out + ((at % R).to(tl.int64) * (G * REP) + h) * D + cols
    tl.store(to, (acc / norm).to(out.dtype.element_ty), mask=cols < D)


def _check(
    q: Tensor, k: Tensor, v: Tensor, span: Tensor, tokens: Tensor, count: Tensor, ks: Tensor, vs: Tensor
) -> None:
    op = "sparse_decode_attention"
    check_device(op, q, k, v, span, tokens, count, ks, vs)
    if q.dim() != 3 or k.dim() != 3:
        raise ValueError(f"{op}: q {tuple(q.shape)} must be [R, H, D] and k {tuple(k.shape)} [G, N, D]")
    (R, H, D), G = q.shape, k.shape[0]
    check_heads(op, q, k, v, H, G)
    check_lists(op, span, tokens, count)
    if span.shape != (R, 2) or count.shape != (R, G) or tokens.dim() != 3 or tokens.shape[:2] != (R, G):
        raise ValueError(
            f"{op}: span {tuple(span.shape)}, tokens {tuple(tokens.shape)} and count {tuple(count.shape)} do not fit "
            f"{R} rows and {G} KV heads: expected [{R}, 2], [{R}, {G}, n] and [{R}, {G}]"
        )
    if ks.shape != vs.shape or ks.dtype != q.dtype or (ks.shape[0], ks.shape[1], ks.shape[3]) != (R, G, D):
        raise ValueError(
            f"{op}: k_suffix {tuple(ks.shape)} and v_suffix {tuple(vs.shape)} must be [{R}, {G}, t, {D}], {q.dtype}"
        )


def sparse_decode_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    span: Tensor,
    tokens: Tensor,
    count: Tensor,
    k_suffix: Tensor,
    v_suffix: Tensor,
    *,
    scale: float,
    softcap: float | None = None,
    suffix_len: Tensor | None = None,
) -> Tensor:
    """See :func:`sparsebench.kernels.sparse_decode_ref.sparse_decode_attention`.

    bfloat16, float16 or float32, D up to 256. A row with no key at all is NaN. Raises ``ValueError`` for a shape, dtype
    or device that the kernel cannot take.
    """
    _check(q, k, v, span, tokens, count, k_suffix, v_suffix)
    (R, H, D), G = q.shape, k.shape[0]
    rep = H // G
    q, k, v, k_suffix, v_suffix = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v, k_suffix, v_suffix))
    span, tokens = span.contiguous(), tokens if tokens.stride(-1) == 1 else tokens.contiguous()
    listed = suffix_len is not None
    lens = suffix_len if suffix_len is not None else count
    padded, size = tile_pow2(D), q.element_size()
    tile = 32 if padded * size <= 256 else 16
    overlap = overlaps(q.device)
    processors = torch.cuda.get_device_properties(q.device).multi_processor_count if q.is_cuda else 2
    # rows that share a prompt run as several waves, one KV head after the other: their keys then stay in the L2 cache
    waves = min(G, max(1, R // ROWS_PER_WAVE))
    target = PIECES_PER_PROCESSOR * processors * waves
    most = target + R * G
    part = torch.empty((most, rep, D), dtype=torch.float32, device=q.device)
    stats = torch.empty((most, rep, 2), dtype=torch.float32, device=q.device)
    out = torch.empty((R, H, D), dtype=q.dtype, device=q.device)
    pairs = triton.next_power_of_2(R * G)
    _pieces[(most,)](
        q, k, v, span, tokens, count, k_suffix, v_suffix, lens, part, stats,
        *q.stride()[:2], *k.stride()[:2], *v.stride()[:2], *k_suffix.stride()[:3], *v_suffix.stride()[:3],
        *tokens.stride()[:2], *count.stride(), lens.stride(0), k_suffix.shape[2], R, G, target, scale, softcap or 0.0,
        P=pairs, REP=rep, M=tile_pow2(rep), D=D, DP=padded, BN=tile, CAP=softcap is not None,
        PRECISION="ieee" if q.dtype == torch.float32 else "tf32", LISTED=listed, OVERLAP=overlap,
        num_warps=WARPS, num_stages=fitting_stages(q.device, 16 * padded * size, 2 * tile * padded * size, 3),
        launch_pdl=overlap,
    )  # fmt: skip
    _merge[(R * H,)](
        part, stats, out, span, count, lens, *count.stride(), lens.stride(0), k_suffix.shape[2], R, G, target,
        P=pairs, REP=rep, D=D, DP=padded, LISTED=listed, CHUNK=64, OVERLAP=overlap, num_warps=4, launch_pdl=overlap,
    )  # fmt: skip
    return out
