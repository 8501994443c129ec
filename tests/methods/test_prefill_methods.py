"""Prefill methods find what was planted for them, and follow their papers' definitions on small cases."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sparsebench.counting import causal_pairs, prefill_pairs
from sparsebench.errors import UserError
from sparsebench.methods.base import Layer
from sparsebench.methods.block_sparse import BlockSparse
from sparsebench.methods.estimate import block_means, block_sums, line_sums
from sparsebench.methods.flexprefill import FlexPrefill, coverage, jensen_shannon_distance
from sparsebench.methods.oracle import OraclePrefill
from sparsebench.methods.random import RandomPrefill, scrambled
from sparsebench.methods.vertical_slash import VerticalSlash, fitting_lines, ranking

from .attend import prefill_method, randn, same, valid_lists

LAYER = Layer(index=0, scale=1.0)


def planted_block(row: int, key: int, N: int = 8, block: int = 16, D: int = 8) -> tuple[Tensor, Tensor]:
    """Query block ``row`` looks in the direction of key block ``key``; all else is faint noise."""
    q, k = 0.01 * randn(1, 2, N * block, D, seed=1), 0.01 * randn(1, 1, N * block, D, seed=2)
    k[:, :, key * block : (key + 1) * block, 0] = 3.0
    q[:, :, row * block : (row + 1) * block, 0] = 3.0
    return q, k


@pytest.mark.parametrize("method", [BlockSparse(block=16), OraclePrefill(block=16)])
def test_finds_a_planted_block(method: BlockSparse | OraclePrefill) -> None:
    q, k = planted_block(row=6, key=3)
    rows = valid_lists(*(lambda s: (s.blocks, s.count))(method.select(q, k, 0.45, LAYER)))
    assert 3 in rows[6] and 6 in rows[6]


def test_block_sparse_keeps_the_first_and_the_diagonal_block() -> None:
    q, k = randn(1, 2, 256, 8, seed=1), randn(1, 1, 256, 8, seed=2)
    picked = BlockSparse(block=16).select(q, k, 0.3, LAYER)
    for i, row in enumerate(valid_lists(picked.blocks, picked.count)):
        assert row[-1] == i % 16 and (len(row) == 1 or row[0] == 0)


@pytest.mark.parametrize("method", [BlockSparse(block=16), RandomPrefill(block=16)])
def test_choices_of_a_block_do_not_read_later_tokens(method: BlockSparse | RandomPrefill) -> None:
    q, k = randn(1, 2, 256, 8, seed=1), randn(1, 1, 256, 8, seed=2)
    before = method.select(q, k, 0.3, LAYER)
    q[:, :, 128:], k[:, :, 128:] = randn(1, 2, 128, 8, seed=3), randn(1, 1, 128, 8, seed=4)
    after = method.select(q, k, 0.3, LAYER)
    one, other = (valid_lists(picked.blocks[:, :, :8], picked.count[:, :, :8]) for picked in (before, after))
    assert one == other


def test_oracle_keeps_the_most_mass_of_any_choice() -> None:
    q, k = randn(1, 4, 256, 8, seed=1), randn(1, 2, 256, 8, seed=2)
    weights = (q.double() @ k.repeat_interleave(2, 1).double().transpose(-1, -2)).masked_fill(
        torch.ones(256, 256).triu(1).bool(), -torch.inf
    )
    mass = weights.softmax(-1).view(1, 4, 16, 16, 16, 16).sum((3, 5)) / 16
    oracle = OraclePrefill(block=16)
    torch.testing.assert_close(oracle.mass(q, k, LAYER).double(), mass, atol=1e-6, rtol=1e-5)
    best, *others = (
        method.select(q, k, 0.4, LAYER) for method in (oracle, BlockSparse(block=16), RandomPrefill(block=16))
    )
    chosen = valid_lists(best.blocks, best.count)
    for picked in others:
        for i, row in enumerate(valid_lists(picked.blocks, picked.count)):
            assert len(row) == len(chosen[i])
            assert mass.view(64, 16)[i, chosen[i]].sum() >= mass.view(64, 16)[i, row].sum() - 1e-6


def planted_lines(columns: list[int], offsets: list[int], T: int, D: int = 256) -> tuple[Tensor, Tensor]:
    """Key s carries unit vector s; query t looks for its columns and for keys at its offsets."""
    k = torch.eye(T, D)
    q = torch.zeros(T, D)
    for t in range(T):
        q[t, [s for s in [*columns, *(t - o for o in offsets)] if 0 <= s <= t]] = 8.0
    return q[None, None], k[None, None]


def test_vertical_slash_finds_planted_lines() -> None:
    q, k = planted_lines([40, 77], [33, 90], 256)
    picked = VerticalSlash(sinks=1, local=1).select(q, k, 0.06, LAYER)
    (columns,), (diagonals,) = (
        valid_lists(picked.columns, picked.column_count),
        valid_lists(picked.diagonals, picked.diagonal_count),
    )
    assert {0, 40, 77} <= set(columns) and {0, 33, 90} <= set(diagonals)
    assert 0 <= len(diagonals) - len(columns) <= 1


def test_vertical_slash_takes_the_most_lines_that_fit() -> None:
    T = 111
    q, k = randn(2, 4, T, 8, seed=1), randn(2, 2, T, 8, seed=2)
    for budget in (0.05, 0.3, 0.7):
        picked = VerticalSlash().select(q, k, budget, LAYER)
        pairs = prefill_pairs(picked, T)
        assert (pairs <= budget * causal_pairs(T)).all()
        # one line more would not fit: no line holds more than T pairs, and the best next one is unknown here
        assert (pairs + T > budget * causal_pairs(T)).all()


def test_ranking_promotes_a_quarter() -> None:
    scores = torch.arange(40.0)  # the last is best
    place = ranking(scores, promoted=30)
    assert sorted(place.tolist()) == list(range(40))
    first = place.argsort().tolist()
    assert first[0] == 0 and set(first[:8]) - {0, 1} == {39, 38, 37, 36, 35, 34}
    assert [sum(x < 30 for x in first[: 4 * n]) for n in (1, 2, 3)] == [1, 2, 3]


def test_fitting_lines_is_the_largest_by_exhaustion() -> None:
    T = 17
    ranks = [torch.randperm(T, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    t, s = torch.arange(T)[:, None], torch.arange(T)[None, :]
    sizes = []
    for lines in range(1, 2 * T + 1):
        on_column, on_diagonal = ranks[0] < lines // 2, ranks[1] < (lines + 1) // 2
        sizes.append(int(((on_column[s] | on_diagonal[(t - s).clamp(min=0)]) & (s <= t)).sum()))
    for budget in (0.02, 0.2, 0.5, 0.8, 1.0):
        fitting = [lines for lines, size in enumerate(sizes, 1) if size <= budget * causal_pairs(T)]
        got = fitting_lines(ranks[0][None, None], ranks[1][None, None], budget)
        assert got.item() == (fitting[-1] if fitting else 1)


def test_jensen_shannon_distance_by_hand() -> None:
    p, q = torch.tensor([[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.5, 0.5], [0.5, 0.5]])
    # disjoint: sqrt(ln 2); equal: 0; third: half of ln(1/0.75) + half of (0.5 ln(0.5/0.75) + 0.5 ln(0.5/0.25))
    third = 0.5 * math.log(1 / 0.75) + 0.25 * math.log(0.5 / 0.75) + 0.25 * math.log(2)
    want = [math.sqrt(math.log(2)), 0.0, math.sqrt(third)]
    assert jensen_shannon_distance(p, q).tolist() == pytest.approx(want, abs=1e-6)


def test_coverage_is_what_better_entries_hold() -> None:
    got = coverage(torch.tensor([0.1, 0.6, 0.3]))
    assert got.tolist() == pytest.approx([0.901, 0.0, 0.6005], abs=1e-6)


def test_flexprefill_picks_the_pattern_of_each_head() -> None:
    T, D, block = 256, 16, 16
    # head 0: all queries look for one whole block, as pooled scores can tell; head 1: for one key inside a block
    # whose other keys point the other way, so that pooling hides it
    k = torch.zeros(1, 2, T, D)
    k[0, 0, 5 * block : 6 * block, 0] = 4.0
    k[0, 1, 9 * block : 10 * block, 0] = -4.0 / (block - 1)
    k[0, 1, 9 * block + 3, 0] = 4.0
    q = torch.zeros(1, 2, T, D)
    q[..., 0] = 2.0
    method = FlexPrefill(block=block, tau=0.1)
    last = q[:, :, -block:]
    true = block_sums(line_sums(last, k, LAYER)[0], block) / block
    assert method.trusts_pooling(last, block_means(q, k, block, LAYER)[1], true, LAYER).tolist() == [[True, False]]
    picked = method.select(q, k, 0.35, LAYER)
    rows = valid_lists(picked.blocks, picked.count)
    assert all(5 in rows[i] for i in range(6, 16))
    assert all(9 in rows[16 + i] for i in range(10, 16))


def test_flexprefill_gives_more_to_heads_that_need_more() -> None:
    T = 512
    q, k = torch.zeros(1, 2, T, 16), 0.1 * randn(1, 2, T, 16)
    q[:, 0, :, 0] = k[:, 0, 100, 0] = 5.0  # head 0 looks at one key, head 1 at all alike
    picked = FlexPrefill(block=16).select(q, k, 0.3, LAYER)
    sharp, flat = prefill_pairs(picked, T)[0].tolist()
    assert sharp < flat and (sharp + flat) / 2 == pytest.approx(0.3 * causal_pairs(T), rel=0.02)
    assert all(6 in row for row in valid_lists(picked.blocks[0, 0], picked.count[0, 0])[6:])


def test_random_draws_by_seed_layer_and_head() -> None:
    q, k = torch.zeros(1, 2, 256, 8), torch.zeros(1, 1, 256, 8)
    method = RandomPrefill(block=16)
    one = method.select(q, k, 0.3, Layer(0, 1.0, seeds=(7,)))
    assert same(one, method.select(q, k, 0.3, Layer(0, 1.0, seeds=(7,))))
    assert not same(one, method.select(q, k, 0.3, Layer(0, 1.0, seeds=(8,))))
    assert not same(one, method.select(q, k, 0.3, Layer(1, 1.0, seeds=(7,))))
    assert valid_lists(one.blocks[0, 0], one.count[0, 0]) != valid_lists(one.blocks[0, 1], one.count[0, 1])


def test_scrambled_numbers_are_uniform_and_unrelated() -> None:
    x = scrambled(3, torch.arange(100)[:, None], torch.arange(1000))
    counts = x.flatten().histc(10, 0, 1)
    assert ((counts - 10_000).abs() < 4 * math.sqrt(9_000)).all()
    assert torch.corrcoef(torch.stack((x[:, :-1].flatten(), x[:, 1:].flatten())))[0, 1].abs() < 0.015
    assert torch.corrcoef(torch.stack((x[:-1].flatten(), x[1:].flatten())))[0, 1].abs() < 0.015


@pytest.mark.parametrize("name", ["block_sparse", "flexprefill", "oracle", "random"])
def test_block_sizes_are_checked(name: str) -> None:
    with pytest.raises(UserError, match="block 24 tokens; allowed: 16, 32, 64, 128"):
        prefill_method(name, block=24)
