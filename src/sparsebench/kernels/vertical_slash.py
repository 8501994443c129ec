"""Attention over columns and diagonals per head: the Triton kernel beside :mod:`vertical_slash_ref`.

Seen from a block of queries, diagonal o touches one window of keys that lies o behind the block, wherever the block is.
So the cover of all diagonals by tiles of keys is found once per head, as offsets from the first query, and every query
block uses the tiles that do not fall off the front. Which elements of a tile lie on a diagonal depends on t - s alone:
each query row reads its 64 neighbouring bits from one bit set per head. A second loop gathers the columns and leaves
out the pairs that lie on a diagonal too, so no key counts twice.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from sparsebench.kernels.checks import check_prefill, tile_pow2
from sparsebench.kernels.descriptor import descriptor, unit_stride
from sparsebench.kernels.online import attend_tile, logits_of

TILE = 64  # queries per block and keys per tile: the bits of one word of the bit set
BORDER = tl.constexpr(256)  # bits of zero on both sides of the set, for what lies outside the prompt
COLUMNS = 16  # columns per step: each pair is looked up in the bit set, which takes registers


@triton.jit
def _cover(diagonals, diagonal_count, tiles, tile_count, d, T, BM: tl.constexpr, BN: tl.constexpr):
    """Greedy cover of one head's diagonals, nearest first: tile j holds the keys ``t0 - tiles[j] + [0, BN)``.

    ``low`` is the lowest key (from t0) covered so far. A diagonal o needs [-o, -o + BM), which takes at most BM / BN
    more tiles below ``low``.
    """
    head = tl.program_id(0).to(tl.int64)
    number = tl.load(diagonal_count + head)
    low = BM
    made = 0
    for j in tl.range(0, number):
        offset = tl.load(diagonals + head * d + j)
        for _ in range(BM // BN):
            if (-offset < low) & (offset < T):
                low = tl.minimum(-offset + BM, low) - BN
                tl.store(tiles + head * (d * (BM // BN)) + made, -low)
                made += 1
    tl.store(tile_count + head, made)


@triton.jit
def _word(bits, at):
    """The 64 bits that begin at bit ``at`` of a bit set, as int64."""
    index = at // 64
    shift = (at % 64).to(tl.uint64)
    low = tl.load(bits + index).to(tl.uint64, bitcast=True)
    high = tl.load(bits + index + 1).to(tl.uint64, bitcast=True)
    # a shift by 64 is undefined, so the upper word moves in two steps
    return (low >> shift) | ((high << 1) << (63 - shift))


@triton.jit
def _vertical_slash(
    q, k, v, k_desc, v_desc, out, columns, column_count, tiles, tile_count, bits,
    k_b, k_g, k_t, v_b, v_g, v_t,
    T, N, c, d, words, scale, cap,
    G: tl.constexpr, REP: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
    CN: tl.constexpr, CAP: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(0)
    group = pid // (N * REP)
    rest = pid % (N * REP)
    # one head after the other: neighbouring query blocks walk the same tiles and meet in the L2 cache
    i = N - 1 - rest % N
    b = group // G
    g = group % G
    h = g * REP + rest // N
    wide = b.to(tl.int64)
    head = wide * G * REP + h

    t0 = i * BM
    rows = tl.arange(0, BM)
    queries = t0 + rows
    within = tl.arange(0, BN)
    dims = tl.arange(0, DP)
    inside = dims[None, :] < D
    q_tile = q.load([b, h, t0, 0]).reshape(BM, DP)
    k_base = k + wide * k_b + g.to(tl.int64) * k_g
    v_base = v + wide * v_b + g.to(tl.int64) * v_g
    bit_base = bits + head * words

    m = tl.full([BM], -1.0e30, tl.float32)  # finite: in its first tiles a row may see nothing
    norm = tl.zeros([BM], tl.float32)
    acc = tl.zeros([BM, DP], tl.float32)

    # tiles ascend, and those that reach t0 or later keys form a prefix: find its end by bisection
    low = 0
    high = tl.load(tile_count + head)
    while low < high:
        middle = (low + high) // 2
        if tl.load(tiles + head * (d * (BM // BN)) + middle) <= t0 + BN - 1:
            low = middle + 1
        else:
            high = middle
    for j in tl.range(0, low):
        reach = tl.load(tiles + head * (d * (BM // BN)) + j)
        first = t0 - reach
        behind = tl.maximum(-first, 0).to(tl.uint64)
        # may lie before the first key: what is read there is 0 and masked
        k_tile = k_desc.load([b, g, first, 0]).reshape(BN, DP)
        logits = logits_of(q_tile, k_tile, scale, cap, CAP, PRECISION)
        # bit j of a row's word says whether t - s = reach + row - j is a diagonal: the set is stored backwards
        word = _word(bit_base, T + BORDER - 1 - reach - rows)
        word = (word >> behind) << behind  # no keys before the first one
        half = tl.where(within[None, :] < 32, word.to(tl.int32)[:, None], (word >> 32).to(tl.int32)[:, None])
        on = (half << (31 - within[None, :] % 32)) < 0  # the bit moved to the sign: three instructions an element
        logits = tl.where(on, logits, float("-inf"))
        v_tile = v_desc.load([b, g, first, 0]).reshape(BN, DP)
        m, norm, acc = attend_tile(logits, v_tile, scale, m, norm, acc, CAP, PRECISION)

    low = 0
    high = tl.load(column_count + head)
    while low < high:
        middle = (low + high) // 2
        if tl.load(columns + head * c + middle) < t0 + BM:
            low = middle + 1
        else:
            high = middle
    for j in tl.range(0, low, CN, num_stages=1):  # few, so shared memory and registers go to the tiles
        each = j + tl.arange(0, CN)
        valid = each < low
        keys = tl.load(columns + head * c + each, mask=valid, other=0)
        seen = valid[:, None] & inside
        k_tile = tl.load(k_base + keys[:, None].to(tl.int64) * k_t + dims[None, :], mask=seen, other=0.0)
        logits = logits_of(q_tile, k_tile, scale, cap, CAP, PRECISION)
        distance = queries[:, None] - keys[None, :]
        open_pair = (distance >= 0) & valid[None, :]
        place = T + BORDER - 1 - distance
        word = tl.load(bit_base + place // 64, mask=open_pair, other=0)
        taken = (word >> (place % 64).to(tl.int64)) & 1
        logits = tl.where(open_pair & (taken == 0), logits, float("-inf"))
        v_tile = tl.load(v_base + keys[:, None].to(tl.int64) * v_t + dims[None, :], mask=seen, other=0.0)
        m, norm, acc = attend_tile(logits, v_tile, scale, m, norm, acc, CAP, PRECISION)

    out.store([b, h, t0, 0], (acc / norm[:, None]).to(out.dtype).reshape(1, 1, BM, DP))


def _bit_set(diagonals: Tensor, count: Tensor, T: int) -> Tensor:
    """int64 [B, H, words]: bit T + BORDER - 1 - o is set for every diagonal o < T; a border of zeros at both ends."""
    border = BORDER.value
    words = triton.cdiv(T + 2 * border, 64)
    valid = (torch.arange(diagonals.shape[-1], device=diagonals.device) < count[..., None]) & (diagonals < T)
    place = torch.where(valid, T + border - 1 - diagonals, 0).long()
    bit = torch.where(valid, torch.ones_like(place) << (place % 64), 0)
    empty = torch.zeros((*count.shape, words), dtype=torch.int64, device=diagonals.device)
    # offsets are distinct, so adding single bits is the same as joining them
    return empty.scatter_add_(-1, place // 64, bit)


def vertical_slash_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    columns: Tensor,
    column_count: Tensor,
    diagonals: Tensor,
    diagonal_count: Tensor,
    *,
    scale: float,
    softcap: float | None = None,
) -> Tensor:
    """See :func:`sparsebench.kernels.vertical_slash_ref.vertical_slash_attention`.

    bfloat16, float16 or float32, D up to 256; what is not contiguous along D is copied. Raises ``ValueError`` for a
    shape, dtype or device that the kernel cannot take.
    """
    op = "vertical_slash_attention"
    check_prefill(op, q, k, v, columns, column_count, diagonals, diagonal_count)
    (B, H, T, D), G = q.shape, k.shape[1]
    for name, lines, count in (("columns", columns, column_count), ("diagonals", diagonals, diagonal_count)):
        if lines.shape[:2] != (B, H) or lines.dim() != 3 or count.shape != (B, H):
            raise ValueError(
                f"{op}: {name} {tuple(lines.shape)} with counts {tuple(count.shape)} do not fit q {tuple(q.shape)}: "
                f"expected [{B}, {H}, n] and [{B}, {H}]"
            )
    q, k, v = (unit_stride(t) for t in (q, k, v))
    columns, diagonals = columns.contiguous(), diagonals.contiguous()
    column_count, diagonal_count = column_count.contiguous(), diagonal_count.contiguous()
    out = torch.empty((B, H, T, D), dtype=q.dtype, device=q.device)
    d = diagonals.shape[2]
    tiles = torch.empty((B, H, d), dtype=torch.int32, device=q.device)
    tile_count = torch.empty_like(diagonal_count)
    _cover[(B * H,)](diagonals, diagonal_count, tiles, tile_count, d, T, BM=TILE, BN=TILE, num_warps=1)
    bits = _bit_set(diagonals, diagonal_count, T)
    padded, N = tile_pow2(D), triton.cdiv(T, TILE)
    few_registers = {"maxnreg": 128} if padded <= 128 else {}  # so four programs share a processor, for two
    _vertical_slash[(B * H * N,)](
        descriptor(op, q, TILE, padded), k, v, descriptor(op, k, TILE, padded), descriptor(op, v, TILE, padded),
        descriptor(op, out, TILE, padded), columns, column_count, tiles, tile_count, bits,
        *k.stride()[:3], *v.stride()[:3],
        T, N, columns.shape[2], d, bits.shape[2], scale, softcap or 0.0,
        G=G, REP=H // G, D=D, DP=padded, BM=TILE, BN=TILE, CN=COLUMNS, CAP=softcap is not None,
        PRECISION="ieee" if q.dtype == torch.float32 else "tf32",
        num_warps=4, num_stages=1, **few_registers,
    )  # fmt: skip
    return out
