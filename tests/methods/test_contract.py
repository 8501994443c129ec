"""What every method promises, tested for every method found by folder."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sparsebench.counting import causal_pairs, decode_entries, prefill_pairs
from sparsebench.kernels.dense_ref import dense_attention
from sparsebench.methodfiles import method_file
from sparsebench.methods import method_class
from sparsebench.methods.base import Layer, Phase
from sparsebench.selection import BlockSelection, Everything, LineSelection

from .attend import (
    DECODE,
    METHODS,
    PREFILL,
    attend,
    attend_step,
    decode_method,
    fine,
    lists,
    prefill_method,
    randn,
    same,
    spec,
    topical,
    valid_lists,
)

LENGTHS = [1, 15, 63, 111, 257]
BUDGETS = [1.0, 0.9, 0.5, 0.3, 0.1, 0.05, 0.01]
HEADS = [(4, 4), (6, 2), (4, 1)]
SPARSE_PREFILL = [name for name in PREFILL if name != "dense"]
SPARSE_DECODE = [name for name in DECODE if name != "dense"]
both_sizes = pytest.mark.parametrize("small", [False, True], ids=["default", "smallest unit"])


def layer(D: int, softcap: float | None = None, seeds: tuple[int, ...] = (0,)) -> Layer:
    return Layer(index=3, scale=D**-0.5, softcap=softcap, seeds=seeds)


def test_the_study_s_methods_and_both_controls_are_there() -> None:
    assert {"dense", "vertical_slash", "block_sparse", "flexprefill", "oracle", "random"} <= set(PREFILL)
    assert {"dense", "snapkv", "ada_snapkv", "quest", "oracle", "random"} <= set(DECODE)


@pytest.mark.parametrize(("phase", "name"), METHODS)
def test_states_what_it_is(phase: Phase, name: str) -> None:
    method = method_class(spec(name), phase)
    assert method.title and method.axes.importance and method.axes.budget
    assert "arXiv:" in method.source or "control of this project" in method.source
    assert all(sentence.endswith(".") for sentence in method.departures)
    assert method.departures or name in ("dense", "oracle", "random")
    assert "budget" in (method.__doc__ or "").lower()
    assert method.unstated() == []
    assert method_file(spec(name)).resolve() == Path(inspect.getfile(method))  # found without importing it
    if method.axes.cache == "evict":
        assert method.fixed  # type: ignore[attr-defined]


@pytest.mark.parametrize("softcap", [None, 5.0])
@pytest.mark.parametrize("T", LENGTHS)
@pytest.mark.parametrize(("H", "G"), HEADS)
@pytest.mark.parametrize("name", PREFILL)
def test_prefill_with_the_whole_budget_is_dense(name: str, H: int, G: int, T: int, softcap: float | None) -> None:
    q, k, v = randn(2, H, T, 16, seed=1), randn(2, G, T, 16, seed=2), randn(2, G, T, 16, seed=3)
    about = layer(16, softcap, (5, 6))
    got = attend(q, k, v, fine("prefill", name).select(q, k, 1.0, about), about)
    want = dense_attention(q, k, v, scale=about.scale, softcap=softcap)
    torch.testing.assert_close(got, want, atol=2e-6, rtol=2e-5)


@pytest.mark.parametrize("T", LENGTHS)
@pytest.mark.parametrize(("H", "G"), HEADS)
@pytest.mark.parametrize("name", DECODE)
def test_decode_with_the_whole_budget_is_dense(name: str, H: int, G: int, T: int) -> None:
    k, v, q = randn(G, T, 16, seed=1), randn(G, T, 16, seed=2), randn(3, H, 16, seed=3)
    method, about = decode_method(name), layer(16)
    state = method.prepare(k, randn(H, min(method.window, T), 16, seed=4), about)
    got = attend_step(q, k, v, method.select(state, q, [1.0] * 3), about)
    want = dense_attention(q[:, :, None], k.expand(3, -1, -1, -1), v.expand(3, -1, -1, -1), scale=about.scale)
    torch.testing.assert_close(got, want[:, :, 0], atol=2e-6, rtol=2e-5)


def one_unit_per_row(selection: BlockSelection | LineSelection, T: int) -> int:
    """Pairs of one key block for every query block, or of one more line."""
    return T * selection.block if isinstance(selection, BlockSelection) else T


@both_sizes
@pytest.mark.parametrize("T", [*LENGTHS, 500])
@pytest.mark.parametrize("name", SPARSE_PREFILL)
def test_prefill_density_meets_the_budget(name: str, T: int, small: bool) -> None:
    method = fine("prefill", name) if small else prefill_method(name)
    q, k, _ = topical(4, 2, T, 16, seed=T)
    for budget in BUDGETS:
        selection = method.select(q, k, budget, layer(16))
        kept, target = prefill_pairs(selection, T).double().mean().item(), budget * causal_pairs(T)
        assert target / 2 <= kept <= target + one_unit_per_row(selection, T), f"budget {budget}"
        if not small or isinstance(selection, LineSelection) or T < 250 or budget < 0.1:
            continue
        # far above the smallest selection there is, density is near the budget and never beyond it
        assert 0.9 * target <= kept <= target, f"budget {budget}"


@pytest.mark.parametrize("T", [*LENGTHS, 500])
@pytest.mark.parametrize("name", SPARSE_DECODE)
def test_decode_density_meets_the_budget(name: str, T: int) -> None:
    method = decode_method(name)
    q, k, _ = topical(4, 2, T, 16, seed=T)
    state = method.prepare(k[0], q[0, :, -method.window :] if method.window else q[0, :, :0], layer(16))
    selection = method.select(state, randn(len(BUDGETS), 4, 16), BUDGETS)
    kept = decode_entries(selection, T).double().mean(-1)
    unit = getattr(method, "page", 1)
    for budget, entries in zip(BUDGETS, kept.tolist(), strict=True):
        assert budget * T / 2 <= entries <= budget * T + unit, f"budget {budget}"


@pytest.mark.parametrize("T", [63, 257])
@pytest.mark.parametrize("name", SPARSE_PREFILL)
def test_prefill_lists_are_well_formed_and_causal(name: str, T: int) -> None:
    q, k, v = topical(6, 2, T, 16, seed=2)
    method, about = fine("prefill", name), layer(16)
    for budget in (0.5, 0.05):
        selection = method.select(q, k, budget, about)
        for entries, count in lists(selection):
            assert entries.dtype == count.dtype == torch.int32
            for row in valid_lists(entries, count):
                assert row == sorted(set(row)) and all(0 <= x < T for x in row)
        if isinstance(selection, BlockSelection):
            N = -(-T // selection.block)
            assert selection.blocks.shape[:3] == (1, 6, N) and int(selection.count.min()) >= 1
            for i, row in enumerate(valid_lists(selection.blocks, selection.count)):
                assert max(row) <= i % N
        else:
            assert (selection.diagonals[..., 0] == 0).all() and int(selection.diagonal_count.min()) >= 1
        before = attend(q, k, v, selection, about)
        for cut in (T // 3, T - 2):
            changed_k, changed_v = k.clone(), v.clone()
            changed_k[:, :, cut:] += 3.0
            changed_v[:, :, cut:] *= -2.0
            after = attend(q, changed_k, changed_v, selection, about)
            torch.testing.assert_close(after[:, :, :cut], before[:, :, :cut], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", SPARSE_DECODE)
def test_decode_lists_are_well_formed(name: str) -> None:
    T = 111
    method = decode_method(name)
    q, k, _ = topical(6, 2, T, 16, seed=2)
    state = method.prepare(k[0], q[0, :, T - method.window :], layer(16))
    selection = method.select(state, randn(len(BUDGETS), 6, 16), BUDGETS)
    (entries, count) = lists(selection)[0]
    assert entries.dtype == count.dtype == torch.int32 and entries.shape[:2] == count.shape == (len(BUDGETS), 2)
    for row in valid_lists(entries, count):
        assert 1 <= len(row) == len(set(row)) and all(0 <= x < T for x in row)


@pytest.mark.parametrize("name", PREFILL)
def test_prefill_does_not_depend_on_its_batch(name: str) -> None:
    T, seeds = 257, (11, 12, 13)
    inputs = [topical(6, 2, T, 16, seed=seed) for seed in seeds]
    q, k = (torch.cat([one[i] for one in inputs]) for i in (0, 1))
    together = fine("prefill", name).select(q, k, 0.3, layer(16, seeds=seeds))
    for b in range(3):
        alone = fine("prefill", name).select(q[b : b + 1], k[b : b + 1], 0.3, layer(16, seeds=seeds[b : b + 1]))
        if isinstance(together, Everything):
            assert isinstance(alone, Everything)
            continue
        for (many, many_count), (one, one_count) in zip(lists(together), lists(alone), strict=True):
            assert valid_lists(many[b], many_count[b]) == valid_lists(one[0], one_count[0])


@pytest.mark.parametrize("name", SPARSE_DECODE)
def test_decode_does_not_depend_on_its_batch(name: str) -> None:
    method = decode_method(name)
    q, k, _ = topical(6, 2, 257, 16, seed=4)
    rows, budgets = randn(5, 6, 16), [0.5, 0.05, 1.0, 0.2, 0.05]
    window = q[0, :, 257 - method.window :]
    together = method.select(method.prepare(k[0], window, layer(16)), rows, budgets)
    for r, budget in enumerate(budgets):
        alone = method.select(method.prepare(k[0], window, layer(16)), rows[r : r + 1], [budget])
        many, one = (
            [set(row) for row in valid_lists(entries[at], count[at])]
            for (entries, count), at in ((lists(together)[0], r), (lists(alone)[0], 0))
        )
        assert many == one


@pytest.mark.parametrize("name", SPARSE_DECODE)
def test_fixed_methods_do_not_read_the_query(name: str) -> None:
    method = decode_method(name)
    q, k, _ = topical(6, 2, 257, 16, seed=4)
    state = method.prepare(k[0], q[0, :, 257 - method.window :], layer(16))
    one, other = (method.select(state, rows, [0.2] * 3) for rows in (randn(3, 6, 16, seed=1), randn(3, 6, 16, seed=2)))
    assert same(one, other) == method.fixed


@pytest.mark.parametrize(("phase", "name"), METHODS)
def test_deterministic(phase: Phase, name: str) -> None:
    q, k, _ = topical(4, 2, 111, 16, seed=9)
    runs = []
    for _ in range(2):
        torch.rand(7)  # the global generator must not matter
        method = fine(phase, name)
        if phase == "prefill":
            runs.append(method.select(q, k, 0.3, layer(16)))
        else:
            state = method.prepare(k[0], q[0, :, 111 - method.window :], layer(16))
            runs.append(method.select(state, q[0, :, -1][None], [0.3]))
    assert same(*runs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("phase", "name"), METHODS)
def test_half_precision(phase: Phase, name: str, dtype: torch.dtype) -> None:
    q, k, _ = (x.to(dtype) for x in topical(4, 2, 111, 16, seed=9))
    method = fine(phase, name)
    if phase == "prefill":
        method.select(q, k, 0.3, layer(16))
    else:
        state = method.prepare(k[0], q[0, :, 111 - method.window :], layer(16))
        method.select(state, q[0, :, -1][None], [0.3])


def prefill_loss(name: str, inputs: tuple[Tensor, Tensor, Tensor], budget: float) -> float:
    q, k, v = inputs
    about = layer(16)
    got = attend(q, k, v, fine("prefill", name).select(q, k, budget, about), about)
    return (got - dense_attention(q, k, v, scale=about.scale)).norm(dim=-1).mean().item()


def decode_loss(name: str, inputs: tuple[Tensor, Tensor, Tensor], budget: float) -> float:
    q, k, v = inputs
    method, about = decode_method(name), layer(16)
    state = method.prepare(k[0, :, :-16], q[0, :, -16 - method.window : -16], about)
    rows = q[0, :, -16:].transpose(0, 1)
    got = attend_step(rows, k[0, :, :-16], v[0, :, :-16], method.select(state, rows, [budget] * 16), about)
    want = attend_step(rows, k[0, :, :-16], v[0, :, :-16], Everything(), about)
    return (got - want).norm(dim=-1).mean().item()


def reads_queries(phase: Phase, name: str) -> bool:
    if phase == "decode":
        method = decode_method(name)
        return method.window > 0 or not method.fixed
    q, k, _ = topical(6, 2, 257, 16, seed=1)
    one, other = (fine(phase, name).select(queries, k, 0.3, layer(16)) for queries in (q, q.flip(2)))
    return not same(one, other)


def check_losses(phase: Phase, loss: dict[str, float]) -> None:
    assert min(loss, key=loss.__getitem__) == "oracle", loss
    assert loss["oracle"] > 1e-3, "no sparse method equals dense at a low budget"
    worse = {name for name in loss if reads_queries(phase, name) and not loss[name] < loss["random"]}
    assert not worse, f"{worse} read queries and lose as much as a choice at random: {loss}"


@pytest.mark.parametrize("budget", [0.3, 0.1])
def test_prefill_oracle_loses_least_and_random_more_than_any_that_reads_queries(budget: float) -> None:
    inputs = [topical(6, 2, 512, 16, seed=seed) for seed in range(6)]
    check_losses("prefill", {name: sum(prefill_loss(name, one, budget) for one in inputs) for name in SPARSE_PREFILL})


@pytest.mark.parametrize("budget", [0.3, 0.1])
def test_decode_oracle_loses_least_and_random_more_than_any_that_reads_queries(budget: float) -> None:
    inputs = [topical(6, 2, 528, 16, seed=seed) for seed in range(6)]
    check_losses("decode", {name: sum(decode_loss(name, one, budget) for one in inputs) for name in SPARSE_DECODE})
