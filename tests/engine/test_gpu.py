"""On a GPU the engine gives what it gives on a CPU, and a replayed step what an eager one gives."""

from __future__ import annotations

import random

import pytest
import torch

from sparsebench.engine import batch, step
from sparsebench.engine.attention import patch
from sparsebench.engine.compiled import compile_layers
from sparsebench.engine.generate import Generator
from sparsebench.engine.ops import load_ops
from sparsebench.engine.rows import DecodeSetting, Job, PrefillSetting, Question
from sparsebench.methods import load_method, method_classes
from sparsebench.spec import MethodSpec

from .conftest import SpelledTokens
from .families import make_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
NEW_TOK = 10


def _method(name, phase):
    return load_method(MethodSpec(label=name, method=name), phase)


def _jobs(prefill: str) -> list[Job]:
    rng = random.Random(3)
    names = sorted(name for phase, name in method_classes() if phase == "decode" and name != "dense")
    settings = [DecodeSetting(_method("dense", "decode"), 1.0)]
    settings += [DecodeSetting(_method(name, "decode"), budget) for name in names for budget in (0.5, 0.2)]
    start = PrefillSetting(_method(prefill, "prefill"), 1.0 if prefill == "dense" else 0.5)
    lengths = (201, 96, 333)
    return [
        Job(Question(tuple(rng.randrange(3, 97) for _ in range(n)), NEW_TOK - i, seed=n), start, tuple(settings))
        for i, n in enumerate(lengths)
    ]


def _ids(device: str, jobs: list[Job], impl: str, cache: str = "shared", family: str = "llama", compiled: bool = False):
    model = make_model(family).to(device)
    patch(model)
    assert not compiled or compile_layers(model)
    generator = Generator(model, SpelledTokens(), load_ops(impl, torch.device(device)), cache)
    return [[answer.ids for answer in answers] for answers in generator.answer(jobs)]


@pytest.mark.parametrize("family", ["llama", "gemma-3"])
@pytest.mark.parametrize("cache", ["shared", "compacted"])
def test_a_replayed_step_generates_what_an_eager_one_does(monkeypatch, family, cache):
    replayed = _ids("cuda", _jobs("dense"), "triton", cache, family)
    monkeypatch.setattr(batch, "can_capture", lambda model, max_steps: False)
    assert step.can_capture(make_model(family).to("cuda"), NEW_TOK)
    assert _ids("cuda", _jobs("dense"), "triton", cache, family) == replayed


@pytest.mark.parametrize("family", ["llama", "gemma-3", "qwen3"])
def test_compiled_layers_generate_what_the_models_own_do(family):
    # float32: only a tie that rounding decides otherwise may differ
    expected, found = (_ids("cuda", _jobs("dense"), "triton", family=family, compiled=c) for c in (False, True))
    rows = [(a, b) for left, right in zip(expected, found, strict=True) for a, b in zip(left, right, strict=True)]
    assert sum(a == b for a, b in rows) >= 0.9 * len(rows)


@pytest.mark.parametrize("prefill", ["dense", "block_sparse", "vertical_slash", "flexprefill"])
def test_triton_generates_what_the_reference_does(prefill):
    # float32 throughout: a tie that rounding decides otherwise is possible but rare, so a tenth of the rows may differ.
    expected, found = _ids("cpu", _jobs(prefill), "reference"), _ids("cuda", _jobs(prefill), "triton")
    rows = [(a, b) for left, right in zip(expected, found, strict=True) for a, b in zip(left, right, strict=True)]
    assert sum(a == b for a, b in rows) >= 0.9 * len(rows)
