"""The engine against transformers' own generation, and against itself in every way of batching rows."""

from __future__ import annotations

import random

import pytest
import torch

from sparsebench.engine.attention import patch
from sparsebench.engine.generate import Generator
from sparsebench.engine.ops import load_ops
from sparsebench.engine.rows import DecodeSetting, Job, PrefillSetting, Question
from sparsebench.errors import UserError
from sparsebench.methods import load_method, method_classes
from sparsebench.spec import MethodSpec

from .conftest import SpelledTokens
from .families import make_model

CPU = torch.device("cpu")
NEW_TOK = 12
DECODE = sorted(name for phase, name in method_classes() if phase == "decode")
PREFILL = sorted(name for phase, name in method_classes() if phase == "prefill")


def _method(name, phase):
    return load_method(MethodSpec(label=name, method=name), phase)


def _prompt(seed: int, length: int) -> tuple[int, ...]:
    rng = random.Random(seed)
    return tuple(rng.randrange(3, 97) for _ in range(length))


def _generator(model, cache="shared") -> Generator:
    patch(model)
    return Generator(model, SpelledTokens(), load_ops("reference", CPU), cache)


DENSE = PrefillSetting(_method("dense", "prefill"), 1.0)


def _all_decode(budgets=(0.5, 0.2)) -> tuple[DecodeSetting, ...]:
    settings = []
    for name in DECODE:
        method = _method(name, "decode")
        settings += [DecodeSetting(method, b) for b in ((1.0,) if name == "dense" else budgets)]
    return tuple(settings)


@pytest.fixture(scope="module")
def jobs() -> list[Job]:
    settings = _all_decode()
    sparse = PrefillSetting(_method("block_sparse", "prefill"), 0.5)
    return [
        Job(Question(_prompt(1, 77), NEW_TOK, seed=11), DENSE, settings),
        Job(Question(_prompt(2, 130), NEW_TOK - 3, seed=12), sparse, settings),
        Job(Question(_prompt(3, 40), NEW_TOK, seed=13), DENSE, settings[:1]),
    ]


@pytest.mark.parametrize("family", ["llama", "gemma-3"])
def test_fanout_rows_equal_rows_run_alone(family, jobs):
    generator = _generator(make_model(family))
    together = generator.answer(jobs)
    assert generator.prefills == len(jobs)
    for job, answers in zip(jobs, together, strict=True):
        for setting, answer in zip(job.decode, answers, strict=True):
            [[alone]] = generator.answer([Job(job.question, job.prefill, (setting,))])
            assert alone.ids == answer.ids, setting
            assert alone.decode_density == pytest.approx(answer.decode_density, abs=1e-12)
            assert alone.prefill_density == pytest.approx(answer.prefill_density, abs=1e-12)


@pytest.mark.parametrize("family", ["llama", "gemma-3"])
def test_compacted_cache_generates_the_tokens_of_the_shared_one(family, jobs):
    shared = _generator(make_model(family), "shared").answer(jobs)
    compacted = _generator(make_model(family), "compacted").answer(jobs)
    assert [[a.ids for a in answers] for answers in compacted] == [[a.ids for a in answers] for answers in shared]
    assert [[a.decode_density for a in answers] for answers in compacted] == [
        [a.decode_density for a in answers] for answers in shared
    ]


@pytest.mark.parametrize("name", [n for n in DECODE if n != "dense"])
def test_decode_budget_is_spent_and_changes_the_answer(name):
    generator = _generator(make_model("llama"))
    method = _method(name, "decode")
    question = Question(_prompt(4, 161), NEW_TOK, seed=3)
    settings = tuple(DecodeSetting(method, b) for b in (1.0, 0.5, 0.05))
    dense = DecodeSetting(_method("dense", "decode"), 1.0)
    [[full, half, little, reference]] = generator.answer([Job(question, DENSE, (*settings, dense))])
    assert full.ids == reference.ids
    assert full.decode_density == 1.0
    assert half.decode_density == pytest.approx(0.5, abs=0.1)
    assert 0 < little.decode_density < 0.2
    assert little.ids != reference.ids


@pytest.mark.parametrize("name", [n for n in PREFILL if n != "dense"])
def test_prefill_budget_is_spent_and_reaches_the_answer(name):
    generator = _generator(make_model("llama"))
    method = _method(name, "prefill")
    dense = (DecodeSetting(_method("dense", "decode"), 1.0),)
    question = Question(_prompt(6, 300), NEW_TOK, seed=3)
    jobs = [Job(question, PrefillSetting(method, b), dense) for b in (1.0, 0.5, 0.1)]
    [[full], [half], [little]] = generator.answer(jobs)
    [[reference]] = generator.answer([Job(question, DENSE, dense)])
    assert full.ids == reference.ids
    assert full.prefill_density == 1.0
    assert 0.25 <= half.prefill_density <= 0.75
    assert little.prefill_density < half.prefill_density
    assert little.ids != reference.ids


def test_a_stop_string_ends_the_row_and_is_cut_off():
    generator = _generator(make_model("llama"))
    settings = (DecodeSetting(_method("dense", "decode"), 1.0),)
    ids = _prompt(9, 30)
    [[whole]] = generator.answer([Job(Question(ids, NEW_TOK), DENSE, settings)])
    stop = f" t{whole.ids[4]}"
    cut = whole.text.index(stop)
    [[stopped]] = generator.answer([Job(Question(ids, NEW_TOK, stop=(stop,)), DENSE, settings)])
    assert stopped.stop_reason == "stop"
    assert stopped.text == whole.text[:cut]


def test_the_end_of_sequence_token_ends_the_row():
    model = make_model("llama")
    settings = (DecodeSetting(_method("dense", "decode"), 1.0),)
    ids = _prompt(9, 30)
    [[whole]] = _generator(model).answer([Job(Question(ids, NEW_TOK), DENSE, settings)])
    model.generation_config.eos_token_id = [whole.ids[3]]
    first = whole.ids.index(whole.ids[3])
    [[ended]] = _generator(model).answer([Job(Question(ids, NEW_TOK), DENSE, settings)])
    assert ended.stop_reason == "eos"
    assert ended.ids == whole.ids[: first + 1]
    assert ended.text == SpelledTokens().decode(list(whole.ids[:first]))


def test_a_patched_model_refuses_to_run_outside_the_engine():
    model = make_model("llama")
    patch(model)
    with pytest.raises(UserError, match="called outside the engine"):
        model(torch.tensor([[5, 6, 7]]))
