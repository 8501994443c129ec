"""Batches as large as memory allows, smaller after running out of it, and every row in one of them."""

from __future__ import annotations

import pytest
import torch

from sparsebench.engine.lists import Lists
from sparsebench.engine.memory import Memory
from sparsebench.engine.planner import Planner
from sparsebench.engine.rows import DecodeSetting, Job, PrefillSetting, Question
from sparsebench.errors import UserError
from sparsebench.methods import load_method
from sparsebench.selection import Everything, TokenSelection
from sparsebench.spec import MethodSpec

# Llama-3.1-8B: 32 layers of 8 KV heads of 128 channels, in bfloat16
LLAMA = Memory(layers=32, kv_heads=8, head_dim=128, hidden=4096, vocab=128256, itemsize=2)
GIB = 2**30


def _method(phase):
    return load_method(MethodSpec(label="dense", method="dense"), phase)


PREFILL = PrefillSetting(_method("prefill"), 1.0)


def _jobs(count: int, length: int, rows: int, budget: float = 1.0):
    decode = tuple(DecodeSetting(_method("decode"), budget) for _ in range(rows))
    job = Job(Question((5,) * length, 256), PREFILL, decode)
    return [(job, [f"{n}.{row}" for row in range(rows)]) for n in range(count)]


def _planner(jobs, free=141 * GIB, max_rows=64):
    return Planner(jobs, LLAMA, free, max_rows)


def _tags(planner):
    return [tag for batch in planner for _, tags in batch for tag in tags]


def test_bytes_of_a_prompt_are_those_of_the_model():
    # 2 x 32 x 8 x 128 x 2 bytes a token, as the model card's 128 KiB
    assert LLAMA.kv_bytes_per_tok == 128 * 1024
    [(job, _)] = _jobs(1, 32768, 1)
    # 4 GiB of KV, a quarter for the methods, 32 MiB of suffix, logits
    assert LLAMA.held(job) == pytest.approx(5 * GIB + 32 * 2**20, rel=0.001)
    assert LLAMA.lists([job]) == 0


def test_index_lists_of_all_rows_are_as_wide_as_the_widest():
    [(dense, _)], [(half, _)], [(tenth, _)] = _jobs(1, 1024, 3), _jobs(1, 4096, 2, 0.5), _jobs(1, 8192, 4, 0.1)
    planned = LLAMA.lists([dense, half, tenth])
    assert planned == 32 * 8 * 4 * (3 + 2 + 4) * 2048
    # what the engine allocates for one layer
    lists = Lists(torch.zeros(9, 2, dtype=torch.int32), 8)
    for rows, width in ((slice(0, 3), None), (slice(3, 5), 2048), (slice(5, 9), 819)):
        chosen = Everything()
        if width is not None:
            tokens = torch.zeros(rows.stop - rows.start, 8, width, dtype=torch.int32)
            chosen = TokenSelection(tokens, torch.full_like(tokens[..., 0], width))
        lists.put(rows, chosen)
    assert planned == 32 * lists.tokens.nbytes
    planner = _planner([(dense, [0] * 3), (half, [0] * 2), (tenth, [0] * 4)])
    one_by_one = sum(LLAMA.held(job) for job in (dense, half, tenth)) + LLAMA.working(tenth)
    assert planner.need([dense, half, tenth]) - one_by_one == planned


def test_as_many_prompts_as_memory_allows():
    sizes = [len(batch) for batch in _planner(_jobs(20, 32768, 1), free=30 * GIB)]
    assert sizes == [5, 5, 5, 5]
    assert [len(batch) for batch in _planner(_jobs(20, 32768, 1), free=12 * GIB)] == [1] * 20


def test_as_many_rows_as_asked_for_and_never_less_than_one_prompt():
    assert [len(batch) for batch in _planner(_jobs(5, 1024, 26), max_rows=64)] == [2, 2, 1]
    assert [len(batch) for batch in _planner(_jobs(2, 1024, 26), max_rows=10)] == [1, 1]


def test_it_says_what_it_chose_and_why():
    assert "5 prompts with 5 rows at a time (memory)" in _planner(_jobs(20, 32768, 1), free=30 * GIB).describe()
    assert "2 prompts with 52 rows at a time (at most 64 rows)" in _planner(_jobs(5, 1024, 26)).describe()
    assert "3 prompts with 3 rows at a time (that is all)" in _planner(_jobs(3, 1024, 1)).describe()


def test_out_of_memory_halves_the_batch_then_the_rows_of_a_prompt():
    planner = _planner(_jobs(6, 1024, 8))
    sizes, done = [], []
    for batch in planner:
        rows = sum(len(tags) for _, tags in batch)
        sizes.append((len(batch), rows))
        if rows > 5:
            planner.too_large(batch)
        else:
            assert all(len(job.decode) == len(tags) for job, tags in batch)
            done += [tag for _, tags in batch for tag in tags]
    assert sizes[:4] == [(6, 48), (3, 24), (1, 8), (1, 4)]
    assert (1, 8) not in sizes[3:]
    assert done == [f"{n}.{row}" for n in range(6) for row in range(8)]


def test_a_single_row_that_does_not_fit_is_an_error_with_figures():
    planner = _planner(_jobs(1, 1024, 1))
    with pytest.raises(UserError, match=r"one prompt of 1024 tokens and one row \(planned: \d+ MiB of 144384 MiB\)"):
        planner.too_large(next(iter(planner)))


@pytest.mark.parametrize("free", [1, 8 * GIB, 141 * GIB])
@pytest.mark.parametrize("max_rows", [1, 7, 64])
def test_every_row_is_computed_once_and_in_order(free, max_rows):
    assert _tags(_planner(_jobs(9, 2048, 3), free, max_rows)) == [f"{n}.{row}" for n in range(9) for row in range(3)]
