"""Prefill reference ops against plain float64 attention on odd shapes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sparsebench.kernels.block_sparse_ref import block_sparse_attention
from sparsebench.kernels.dense_ref import dense_attention
from sparsebench.kernels.vertical_slash_ref import vertical_slash_attention

from .oracle import causal, naive

SHAPES = [(1, 3, 3, 8), (63, 2, 2, 16), (111, 3, 1, 24), (257, 8, 1, 8)]


def tensors(B: int, H: int, G: int, T: int, D: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(B, heads, T, D, generator=draw) for heads in (H, G, G))  # type: ignore[return-value]


def random_blocks(B: int, H: int, N: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Ragged ascending lists; what lies past the count is rubbish on purpose."""
    lists = torch.randint(-(2**30), 2**30, (B, H, N, N), generator=draw, dtype=torch.int32)
    count = torch.zeros(B, H, N, dtype=torch.int32)
    for b in range(B):
        for h in range(H):
            for i in range(N):
                n = int(torch.randint(1, i + 2, (1,), generator=draw))
                # query block i must see something at its first query: a block below it or the diagonal always serves
                lists[b, h, i, :n] = torch.randperm(i + 1, generator=draw)[:n].sort().values.int()
                count[b, h, i] = n
    return lists, count


def block_mask(lists: Tensor, count: Tensor, T: int, block: int) -> Tensor:
    B, H, N, _ = lists.shape
    mask = torch.zeros(B, H, T, T, dtype=torch.bool)
    for b in range(B):
        for h in range(H):
            for i in range(N):
                for j in lists[b, h, i, : count[b, h, i]].tolist():
                    mask[b, h, i * block : (i + 1) * block, j * block : (j + 1) * block] = True
    return mask & causal(T)


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize(("T", "H", "G", "D"), SHAPES)
def test_dense_equals_float64(T: int, H: int, G: int, D: int, softcap: float | None) -> None:
    q, k, v = tensors(2, H, G, T, D)
    got = dense_attention(q, k, v, scale=0.3, softcap=softcap)
    want = naive(q, k, v, causal(T).expand(2, H, T, T), 0.3, softcap)
    torch.testing.assert_close(got.double(), want, atol=2e-6, rtol=2e-5)


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("window", [None, 1, 40, 1000])
def test_dense_of_the_last_queries_in_a_window(window: int | None, softcap: float | None) -> None:
    T, S = 150, 211
    q, k, v = tensors(1, 4, 2, S, 16)
    distance = torch.arange(S)[:, None] - torch.arange(S)[None, :]
    mask = (distance >= 0) & (distance < (window or S))
    want = naive(q, k, v, mask.expand(1, 4, S, S), 0.25, softcap)[:, :, -T:]
    got = dense_attention(q[:, :, -T:], k, v, scale=0.25, softcap=softcap, window=window)
    torch.testing.assert_close(got.double(), want, atol=2e-6, rtol=2e-5)


def test_dense_with_an_offset_never_sees_later_keys() -> None:
    q, k, v = tensors(1, 2, 2, 90, 8)
    whole = dense_attention(q, k, v, scale=0.3)
    k[:, :, 50:], v[:, :, 50:] = torch.nan, torch.nan
    part = dense_attention(q[:, :, 30:50], k, v, scale=0.3, offset=30)
    torch.testing.assert_close(part, whole[:, :, 30:50], atol=1e-6, rtol=1e-5)
    with pytest.raises(ValueError, match="allowed: 0 to 70"):
        dense_attention(q[:, :, 30:50], k, v, scale=0.3, offset=71)


def test_sliding_window_is_that_of_transformers() -> None:
    masking = pytest.importorskip("transformers.masking_utils")
    inner = masking.sliding_window_overlay(5)
    seen = [[bool(inner(0, 0, t, s)) and s <= t for s in range(12)] for t in range(12)]
    # equal logits: the output is the average of the visible unit vectors
    zeros, units = torch.zeros(1, 1, 12, 12), torch.eye(12)[None, None]
    got = dense_attention(zeros, zeros, units, scale=1.0, window=5)
    assert (got[0, 0] > 0).tolist() == seen


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("block", [16, 32])
@pytest.mark.parametrize(("T", "H", "G", "D"), SHAPES)
def test_block_sparse_equals_float64(T: int, H: int, G: int, D: int, block: int, softcap: float | None) -> None:
    q, k, v = tensors(2, H, G, T, D)
    lists, count = random_blocks(2, H, -(-T // block), torch.Generator().manual_seed(T))
    got = block_sparse_attention(q, k, v, lists, count, block=block, scale=0.3, softcap=softcap)
    want = naive(q, k, v, block_mask(lists, count, T, block), 0.3, softcap)
    torch.testing.assert_close(got.double(), want, atol=2e-6, rtol=2e-5)


def test_block_sparse_does_not_read_what_is_not_selected() -> None:
    T, block = 70, 16
    q, k, v = tensors(1, 2, 1, T, 8)
    lists = torch.tensor([0, 1, 2, 3, 4], dtype=torch.int32)[None, None, :, None].expand(1, 2, 5, 1).clone()
    lists = torch.cat((torch.zeros_like(lists), lists), -1)
    count = torch.tensor([1, 2, 2, 2, 2], dtype=torch.int32).expand(1, 2, 5)
    clean = block_sparse_attention(q, k, v, lists, count, block=block, scale=0.3)
    k[:, :, 16:48], v[:, :, 16:48] = torch.nan, torch.nan
    poisoned = block_sparse_attention(q, k, v, lists, count, block=block, scale=0.3)
    assert torch.equal(clean[:, :, 48:], poisoned[:, :, 48:])
    assert torch.equal(clean[:, :, :16], poisoned[:, :, :16])


def test_block_sparse_names_shapes_that_do_not_fit() -> None:
    q, k, v = tensors(1, 2, 1, 70, 8)
    lists, count = random_blocks(1, 2, 4, torch.Generator())
    with pytest.raises(ValueError, match="blocks of 16"):
        block_sparse_attention(q, k, v, lists, count, block=16, scale=1.0)


def random_lines(B: int, H: int, T: int, draw: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    columns = torch.full((B, H, T), 2**30, dtype=torch.int32)
    diagonals = torch.full((B, H, T), -7, dtype=torch.int32)
    column_count = torch.randint(0, T + 1, (B, H), generator=draw, dtype=torch.int32)
    diagonal_count = torch.randint(1, T + 1, (B, H), generator=draw, dtype=torch.int32)
    for b in range(B):
        for h in range(H):
            c, d = int(column_count[b, h]), int(diagonal_count[b, h])
            columns[b, h, :c] = torch.randperm(T, generator=draw)[:c].sort().values.int()
            offsets = 1 + torch.randperm(T - 1, generator=draw)[: d - 1].sort().values
            diagonals[b, h, :d] = torch.cat((torch.zeros(1), offsets)).int()
    return columns, column_count, diagonals, diagonal_count


def line_mask(lines: tuple[Tensor, Tensor, Tensor, Tensor], T: int) -> Tensor:
    columns, column_count, diagonals, diagonal_count = lines
    B, H, _ = columns.shape
    mask = torch.zeros(B, H, T, T, dtype=torch.bool)
    for b in range(B):
        for h in range(H):
            for c in columns[b, h, : column_count[b, h]].tolist():
                mask[b, h, c:, c] = True
            for o in diagonals[b, h, : diagonal_count[b, h]].tolist():
                mask[b, h, torch.arange(o, T), torch.arange(0, T - o)] = True
    return mask


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize(("T", "H", "G", "D"), SHAPES)
def test_vertical_slash_equals_float64(T: int, H: int, G: int, D: int, softcap: float | None) -> None:
    q, k, v = tensors(2, H, G, T, D)
    lines = random_lines(2, H, T, torch.Generator().manual_seed(T))
    got = vertical_slash_attention(q, k, v, *lines, scale=0.3, softcap=softcap)
    want = naive(q, k, v, line_mask(lines, T), 0.3, softcap)
    torch.testing.assert_close(got.double(), want, atol=2e-6, rtol=2e-5)


def test_vertical_slash_does_not_read_what_is_not_selected() -> None:
    T = 140
    q, k, v = tensors(1, 2, 1, T, 8)
    lines = (
        torch.tensor([[[3, 9]]], dtype=torch.int32).expand(1, 2, 2),
        torch.full((1, 2), 2, dtype=torch.int32),
        torch.tensor([[[0]]], dtype=torch.int32).expand(1, 2, 1),
        torch.full((1, 2), 1, dtype=torch.int32),
    )
    clean = vertical_slash_attention(q, k, v, *lines, scale=0.3)
    k[:, :, 10:128], v[:, :, 10:128] = torch.nan, torch.nan
    poisoned = vertical_slash_attention(q, k, v, *lines, scale=0.3)
    assert torch.equal(clean[:, :, 128:], poisoned[:, :, 128:])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_its_dtype_and_sums_in_float32(dtype: torch.dtype) -> None:
    T, block = 111, 16
    q, k, v = (x.to(dtype) for x in tensors(1, 4, 2, T, 16))
    lists, count = random_blocks(1, 4, -(-T // block), torch.Generator().manual_seed(1))
    lines = random_lines(1, 4, T, torch.Generator().manual_seed(1))
    every = causal(T).expand(1, 4, T, T)
    for got, mask in [
        (dense_attention(q, k, v, scale=0.3), every),
        (dense_attention(q, k, v, scale=0.3, window=50), every & ~causal(T).tril(-50)),
        (block_sparse_attention(q, k, v, lists, count, block=block, scale=0.3), block_mask(lists, count, T, block)),
        (vertical_slash_attention(q, k, v, *lines, scale=0.3), line_mask(lines, T)),
    ]:
        assert got.dtype == dtype
        torch.testing.assert_close(got.double(), naive(q, k, v, mask, 0.3), atol=1.5e-2, rtol=1e-2)
