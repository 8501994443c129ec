"""Compiled layers generate the model's tokens, are compiled once for all layers of a kind, and leave prefill alone."""

from __future__ import annotations

import pytest
import torch

from sparsebench.engine.attention import patch
from sparsebench.engine.compiled import (
    COMPILED,
    COMPILING_S,
    SAVED_S,
    compile_layers,
    compiled_layers,
    decoder_layers,
    repays,
)
from sparsebench.engine.generate import Generator
from sparsebench.engine.ops import load_ops
from sparsebench.engine.rows import DecodeSetting, Job, PrefillSetting, Question
from sparsebench.methods import load_method
from sparsebench.spec import MethodSpec

from .conftest import SpelledTokens
from .families import make_model

BACKEND = "aot_eager"


def _method(name, phase="decode"):
    return load_method(MethodSpec(label=name, method=name), phase)


def _answers(model) -> list[tuple[int, ...]]:
    dense, quest, snapkv = (_method(name) for name in ("dense", "quest", "snapkv"))
    rows = (DecodeSetting(dense, 1.0), DecodeSetting(quest, 0.5), DecodeSetting(quest, 0.2), DecodeSetting(snapkv, 0.3))
    start = PrefillSetting(_method("dense", "prefill"), 1.0)
    jobs = [
        Job(Question(tuple(5 + (7 * i) % 89 for i in range(length)), new_tok, seed=1), start, rows)
        for length, new_tok in ((90, 6), (61, 3))
    ]
    generator = Generator(model, SpelledTokens(), load_ops("reference", model.device))
    return [answer.ids for answers in generator.answer(jobs) for answer in answers]


@pytest.fixture(autouse=True)
def fresh():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def _graphs() -> int:
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.parametrize("family", ["llama", "gemma-3"])
def test_tokens_are_the_models_own_and_no_step_compiles(family):
    model = make_model(family)
    patch(model)
    expected = _answers(model)
    assert compile_layers(model, BACKEND)
    before = _graphs()
    assert _answers(model) == expected  # eight rows, then four, over several steps
    assert _graphs() == before


def test_layers_share_what_was_compiled_for_the_first():
    counts = []
    for layers in (1, 3):
        torch.compiler.reset()
        torch._dynamo.utils.counters.clear()
        model = make_model("llama")
        del model.model.layers[layers:]
        model.config.num_hidden_layers = layers
        patch(model)
        assert compile_layers(model, "eager")
        counts.append(_graphs())
    assert counts[0] == counts[1] > 0


def test_a_layer_that_would_compute_something_else_stays_as_it_is(monkeypatch, caplog):
    model = make_model("llama")
    patch(model)
    caplog.set_level("INFO", "sparsebench")
    assert not compile_layers(model, lambda graph, inputs: lambda *args: [2 * x for x in graph(*args)])
    assert not any(COMPILED in vars(layer) for layer in decoder_layers(model))
    assert "the model's own layers" in caplog.text


def test_a_compiler_that_fails_leaves_the_model_as_it_is(caplog):
    def fails(graph, inputs):
        raise RuntimeError("no compiler here")

    model = make_model("llama")
    patch(model)
    expected = _answers(model)
    caplog.set_level("INFO", "sparsebench")
    assert not compile_layers(model, fails)
    assert "no compiler here" in caplog.text
    assert _answers(model) == expected


def test_the_models_own_layers_run_outside_the_block():
    model = make_model("llama")
    patch(model)
    assert compile_layers(model, "eager")
    layer = decoder_layers(model)[0]
    with compiled_layers(model, None):
        assert layer.forward is getattr(layer, COMPILED)
    assert "forward" not in vars(layer)


def test_only_steps_enough_repay_compiling():
    model = make_model("llama")
    even = COMPILING_S / SAVED_S / len(decoder_layers(model))
    assert not repays(model, int(0.99 * even))
    assert repays(model, int(1.01 * even))
