"""Sinks and window against hand-worked cases and a mask written down plainly."""

from __future__ import annotations

import pytest
import torch

from sparsebench.counting import causal_pairs, prefill_pairs
from sparsebench.errors import UserError
from sparsebench.masks import members
from sparsebench.methods.base import Layer
from sparsebench.methods.streaming_llm import StreamingDecode, StreamingPrefill, sinks_within, window_within

from .attend import randn, valid_lists

LAYER = Layer(0, 0.25)


def kept(length: int, budget: float, sinks: int = 4) -> set[int]:
    method, k = StreamingDecode(sinks), torch.full((2, length, 8), torch.nan)
    chosen = method.select(method.prepare(k, k[:, :0], LAYER), torch.full((2, 4, 8), torch.nan), [1.0, budget])
    rows = [set(row) for row in valid_lists(chosen.tokens, chosen.count)]
    assert rows[0] == rows[1] == set(range(length)) and rows[2] == rows[3]
    return rows[2]


def test_decode_keeps_what_the_authors_cache_keeps() -> None:
    # StartRecentKVCache: the first start_size entries and the last recent_size, here 4 and 16 of 100
    assert kept(100, 0.2) == {*range(4), *range(84, 100)}
    assert kept(100, 0.1, sinks=1) == {0, *range(91, 100)}


@pytest.mark.parametrize(
    ("length", "budget", "tokens"), [(100, 0.05, {0, 1, 97, 98, 99}), (100, 0.01, {99}), (5, 0.6, {0, 3, 4})]
)
def test_a_small_decode_budget_keeps_half_of_it_from_the_start(length: int, budget: float, tokens: set[int]) -> None:
    assert kept(length, budget) == tokens


def test_prefill_by_hand() -> None:
    # 55 pairs, room for 33: the first column takes 10 of at most 16.5, a second would take 9 more. With it a window
    # of 1, 2, 3 keys makes 19, 27, 34 pairs.
    assert sinks_within(10, 4, 0.6) == 1
    assert window_within(10, 1, 0.6) == 2


@pytest.mark.parametrize("length", [1, 3, 64, 257])
@pytest.mark.parametrize("budget", [1.0, 0.7, 0.3, 0.1, 0.02])
def test_prefill_sees_sinks_and_the_longest_window_that_fits(length: int, budget: float) -> None:
    q, k = randn(2, 4, length, 8), randn(2, 2, length, 8)
    chosen = StreamingPrefill().select(q, k, budget, LAYER)
    sinks, window = sinks_within(length, 4, budget), window_within(length, sinks_within(length, 4, budget), budget)
    query, key = torch.arange(length)[:, None], torch.arange(length)[None]
    visible = ((key < sinks) | (query - key < window)) & (key <= query)
    columns = members(chosen.columns, chosen.column_count, length)
    diagonals = members(chosen.diagonals, chosen.diagonal_count, length)
    assert torch.equal((columns[1, 3] | diagonals[1, 3][(query - key).clamp(min=0)]) & (key <= query), visible)
    assert (prefill_pairs(chosen, length) == visible.sum()).all()
    wider = visible | ((query - key == window) & (key <= query))
    assert visible.sum() <= max(length, budget * causal_pairs(length))
    assert window == length or wider.sum() > budget * causal_pairs(length)


def test_no_sinks_is_not_this_method() -> None:
    with pytest.raises(UserError, match="streaming_llm: sinks 0; allowed: 1 or more"):
        StreamingPrefill(sinks=0)
