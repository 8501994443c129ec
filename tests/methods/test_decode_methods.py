"""Decode methods against hand-worked cases of their papers' definitions."""

from __future__ import annotations

import pytest
import torch

from sparsebench.errors import UserError
from sparsebench.kernels.page_tokens_ref import page_bounds
from sparsebench.methods.ada_snapkv import AdaSnapKV, SharedVotes
from sparsebench.methods.base import Layer
from sparsebench.methods.oracle import OracleDecode
from sparsebench.methods.quest import Quest
from sparsebench.methods.random import RandomDecode
from sparsebench.methods.snapkv import SnapKV, kept_window, voted_scores

from .attend import randn, valid_lists

LAYER = Layer(index=0, scale=1.0)


def test_snapkv_votes_by_hand() -> None:
    # one-hot keys times ln 2, ln 3: query weights are shares of 2 : 1 : .. and 3 : 1 : ..
    k = torch.eye(6)[None] * torch.tensor(2.0).log()
    q = torch.zeros(2, 2, 6)
    q[0, 0, 1] = q[0, 1, 3] = 1.0  # first query head: window query 0 (position 4) favours key 1, query 1 key 3
    q[1, :, 0] = torch.tensor(3.0).log() / torch.tensor(2.0).log()  # second: both favour key 0, three to one
    # head 0: key 1 gets 2/6 + 1/7, key 3 gets 1/6 + 2/7, others 1/6 + 1/7; head 1: key 0 3/7 + 3/8, others 1/7 + 1/8
    head0 = torch.tensor([1 / 6 + 1 / 7, 2 / 6 + 1 / 7, 1 / 6 + 1 / 7, 1 / 6 + 2 / 7])
    head1 = torch.tensor([3 / 7 + 3 / 8, *[1 / 7 + 1 / 8] * 3])
    got = voted_scores(k, q, 1, "max", LAYER)
    torch.testing.assert_close(got, ((head0 + head1) / 2)[None], atol=1e-6, rtol=1e-5)
    pooled = voted_scores(k, q, 3, "max", LAYER)
    a, b, c, d = head0.tolist()
    first = torch.tensor([max(a, b), max(a, b, c), max(b, c, d), max(c, d)])
    second = torch.tensor([head1[0], head1[0], head1[1], head1[1]])
    torch.testing.assert_close(pooled, ((first + second) / 2)[None], atol=1e-6, rtol=1e-5)
    averaged = voted_scores(k, q, 3, "avg", LAYER)
    want = (
        torch.tensor([a + b, a + b + c, b + c + d, c + d]) / 3
        + torch.stack([head1[0] + head1[1], head1[:3].sum(), head1[1:].sum(), head1[2:].sum()]) / 3
    ) / 2
    torch.testing.assert_close(averaged, want[None], atol=1e-6, rtol=1e-5)


def test_snapkv_keeps_its_window_and_the_best_votes() -> None:
    S, W = 100, 10
    k, window = randn(2, S, 8, seed=1), randn(4, W, 8, seed=2)
    method = SnapKV(window=W, kernel=5)
    votes = voted_scores(k, window, 5, "max", LAYER)
    picked = method.select(method.prepare(k, window, LAYER), torch.zeros(2, 4, 8), [0.3, 0.12])
    for r, (kept, tail) in enumerate(((30, 10), (12, 6))):
        for g in range(2):
            (row,) = valid_lists(picked.tokens[r, g][None], picked.count[r, g])
            assert len(row) == kept and set(range(S - tail, S)) <= set(row)
            voted = votes[g].argsort(descending=True, stable=True)[: kept - tail].tolist()
            assert set(row) - set(range(S - tail, S)) == set(voted)


def test_kept_window_by_hand() -> None:
    assert kept_window(1000, 32, 100) == 32
    assert kept_window(1000, 32, 64) == 32
    assert kept_window(1000, 32, 21) == 11  # half of the budget
    assert kept_window(40, 32, 30) == 22  # only 8 entries lie before the window
    assert kept_window(32, 32, 5) == 5


def test_ada_snapkv_shares_by_hand() -> None:
    # two heads, 4 entries each; ranking of all 8: head 0 holds the best three and the fifth
    heads = torch.tensor([0, 0, 0, 1, 0, 1, 1, 1])
    shares = AdaSnapKV()._shares(heads, 2, voted=[2, 3, 4], floors=[0, 0, 0])
    assert shares.tolist() == [[3, 1], [4, 2], [4, 4]]
    # with a floor of 1 of 2, the other half follows the ranking: 3 of 4 and 1 of 4 of the 2 left over
    assert AdaSnapKV()._shares(heads, 2, voted=[2], floors=[1]).tolist() == [[3, 1]]
    assert AdaSnapKV()._shares(heads, 2, voted=[2], floors=[2]).tolist() == [[2, 2]]


@pytest.mark.parametrize("floor", [0.0, 0.2, 1.0])
def test_ada_snapkv_sums_to_the_budget_and_keeps_its_floor(floor: float) -> None:
    S, G = 200, 3
    k, window = randn(G, S, 8, seed=1), randn(6, 16, 8, seed=2)
    k[0] *= 4.0  # the first head's votes are sharp
    method = AdaSnapKV(window=16, floor=floor)
    budgets = [1.0, 0.5, 0.31, 0.2, 0.1, 0.01]
    picked = method.select(method.prepare(k, window, LAYER), torch.zeros(6, 6, 8), budgets)
    uniform = SnapKV(window=16).select(SnapKV(window=16).prepare(k, window, LAYER), torch.zeros(6, 6, 8), budgets)
    assert picked.count.sum(-1).tolist() == uniform.count.sum(-1).tolist()
    tail = torch.tensor([[kept_window(S, 16, max(1, round(b * S)))] for b in budgets])
    voted = uniform.count[:, :1] - tail
    assert (picked.count - tail >= (floor * voted).floor()).all()
    if floor == 1.0:
        assert (picked.count == uniform.count).all()
    else:
        assert picked.count[3].unique().numel() > 1
    assert picked.count.max() <= picked.tokens.shape[-1]


def test_ada_snapkv_without_a_prefix_before_the_window() -> None:
    state = SharedVotes(8, 8, torch.zeros(2, 0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    picked = AdaSnapKV().select(state, torch.zeros(1, 2, 4), [0.5])
    assert [sorted(row) for row in valid_lists(picked.tokens, picked.count)] == [[4, 5, 6, 7]] * 2


@pytest.mark.parametrize("S", [1, 16, 50, 127])
@pytest.mark.parametrize("softcap", [None, 3.0])
def test_quest_bounds_lie_above_every_logit_of_the_page(S: int, softcap: float | None) -> None:
    k, q, layer = randn(2, S, 24, seed=1), randn(5, 6, 24, seed=2), Layer(0, 0.2, softcap)
    method = Quest()
    state = method.prepare(k, q[:0, :, 0], layer)
    bounds = page_bounds(q, state.lowest, state.highest, layer.scale, softcap)
    logits = torch.einsum("rghd,gsd->rghs", q.view(5, 2, 3, 24), k) * 0.2
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    for s in range(S):
        assert (bounds[..., s // 16] >= logits[..., s] - 1e-5).all()
    # a page of one key is bounded by that key itself
    if S % 16 == 1:
        torch.testing.assert_close(bounds[..., -1], logits[..., -1])


def test_quest_bound_by_hand() -> None:
    # least (-1, 0), greatest (2, 3), query (1, -2): 1 * 2 + -2 * 0 = 2
    k = torch.tensor([[[-1.0, 3.0], [2.0, 0.0]]])
    method = Quest()
    state = method.prepare(k, k[:, :0], LAYER)
    q = torch.tensor([[[1.0, -2.0]]])
    assert page_bounds(q, state.lowest, state.highest, LAYER.scale).tolist() == [[[[2.0]]]]


def test_quest_reads_the_page_that_answers_and_the_last() -> None:
    S = 100
    k = 0.1 * randn(1, S, 8, seed=1)
    k[0, 37] = 5.0
    method = Quest()
    picked = method.select(method.prepare(k, k[:, :0], LAYER), torch.ones(1, 2, 8), [0.2])
    (row,) = valid_lists(picked.tokens, picked.count)
    assert sorted(row) == [*range(32, 48), *range(96, 100)]


def test_quest_reads_the_page_that_one_query_head_of_the_group_needs() -> None:
    k, q = torch.zeros(1, 96, 8), torch.zeros(1, 2, 8)
    k[0, 37, 0], q[0, 0, 0] = 5.0, 2.0  # the first head needs page 2 alone
    k[0, 20, 1], k[0, 50, 1], q[0, 1, 1] = 5.0, 4.98, 6.0  # the second, with larger logits, pages 1 and 3 alike
    method = Quest()
    picked = method.select(method.prepare(k, k[:, :0], LAYER), q, [0.34])
    (row,) = valid_lists(picked.tokens, picked.count)
    assert sorted(row) == [*range(32, 48), *range(80, 96)]


def test_oracle_reads_the_heaviest_tokens_of_the_group() -> None:
    k, q = randn(2, 90, 8, seed=1), randn(3, 6, 8, seed=2)
    method = OracleDecode()
    picked = method.select(method.prepare(k, q[:0, :, 0], LAYER), q, [0.1, 0.5, 0.01])
    for r, kept in enumerate((9, 45, 1)):
        for g in range(2):
            mass = (q[r, 3 * g : 3 * g + 3] @ k[g].T).softmax(-1).sum(0)
            (row,) = valid_lists(picked.tokens[r, g][None], picked.count[r, g])
            assert set(row) == set(mass.topk(kept).indices.tolist())


def test_random_draws_a_subset_for_a_smaller_budget() -> None:
    method = RandomDecode()
    picked = method.select(
        method.prepare(torch.zeros(2, 300, 4), torch.zeros(2, 0, 4), LAYER), torch.zeros(2, 2, 4), [0.5, 0.1]
    )
    many, few = ([set(row) for row in valid_lists(picked.tokens[r], picked.count[r])] for r in (0, 1))
    assert all(small < large for small, large in zip(few, many, strict=True)) and many[0] != many[1]


def test_parameters_are_checked() -> None:
    for wrong, message in (
        (lambda: SnapKV(window=0), "window 0; allowed: 1 or more"),
        (lambda: SnapKV(kernel=4), "kernel 4; allowed: an odd number"),
        (lambda: AdaSnapKV(floor=1.5), "floor 1.5; allowed: 0 to 1"),
        (lambda: Quest(page=10), "page 10 tokens; allowed"),
    ):
        with pytest.raises(UserError, match=message):
            wrong()


def test_random_draws_by_seed_and_layer() -> None:
    k, method = torch.zeros(2, 100, 4), RandomDecode()
    one, again, other_seed, other_layer = (
        method.prepare(k, k[:, :0], Layer(index, 1.0, seeds=(seed,))).tolist()
        for index, seed in ((0, 7), (0, 7), (0, 8), (1, 7))
    )
    assert one == again and one != other_seed and one != other_layer
