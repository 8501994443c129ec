"""A prompt in chunks goes through the model as it does in one piece."""

from __future__ import annotations

import threading

import pytest
import torch
from transformers import AutoModelForCausalLM

from sparsebench.engine.attention import Call, patch
from sparsebench.engine.chunks import can_chunk, run_prompt
from sparsebench.models.rope import settle

from .families import FAMILIES, NATIVE, make_config, make_model


class Recorder:
    """Plain causal attention that remembers what it was given."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.calls: list[Call] = []
        self._fail_at = fail_at

    def attend(self, call: Call) -> torch.Tensor:
        if call.layer == self._fail_at:
            raise torch.OutOfMemoryError("injected")
        self.calls.append(call)
        return torch.nn.functional.scaled_dot_product_attention(call.q, call.k, call.v, is_causal=True, enable_gqa=True)


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(3, 97, (1, 50), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("chunk_tok", [16, 49])
def test_each_layer_sees_the_whole_prompt_as_without_chunks(family, chunk_tok, ids):
    model = make_model(family)
    patch(model)
    whole, chunked = Recorder(), Recorder()
    with torch.inference_mode():
        run_prompt(model, ids, whole)
        run_prompt(model, ids, chunked, chunk_tok)
    assert [call.layer for call in chunked.calls] == [call.layer for call in whole.calls]
    for a, b in zip(whole.calls, chunked.calls, strict=True):
        assert (a.window, a.softcap, a.scale) == (b.window, b.softcap, b.scale)
        for name in ("q", "k", "v"):
            torch.testing.assert_close(getattr(b, name), getattr(a, name), rtol=1e-4, atol=1e-5)


def test_no_chunk_holds_more_than_its_own_tokens(ids):
    model = make_model("llama")
    patch(model)
    seen = []
    model.model.layers[1].mlp.register_forward_hook(lambda module, given, out: seen.append(out.shape[1]))
    run_prompt(model, ids, Recorder(), 16)
    assert seen == [16, 16, 16, 2]


@pytest.mark.parametrize("layer", [0, 2])
def test_a_failure_ends_all_chunks_and_is_raised(layer, ids):
    model = make_model("llama")
    patch(model)
    before = threading.active_count()
    with pytest.raises(torch.OutOfMemoryError, match="injected"):
        run_prompt(model, ids, Recorder(layer), 16)
    assert threading.active_count() == before


@pytest.mark.parametrize("longest_tok", [NATIVE, 2 * NATIVE])
def test_settled_longrope_is_cut_and_sees_the_same_positions(longest_tok):
    config = make_config("phi-3.5-longrope")
    settle(config, longest_tok)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    patch(model)
    ids = torch.randint(3, 97, (1, longest_tok - 5), generator=torch.Generator().manual_seed(1))
    whole, chunked = Recorder(), Recorder()
    with torch.inference_mode():
        run_prompt(model, ids, whole)
        seen = []
        model.model.layers[1].mlp.register_forward_hook(lambda module, given, out: seen.append(out.shape[1]))
        run_prompt(model, ids, chunked, 32)
    assert len(seen) == -(-len(ids[0]) // 32)
    for a, b in zip(whole.calls, chunked.calls, strict=True):
        torch.testing.assert_close(b.q, a.q, rtol=1e-4, atol=1e-5)


def test_embeddings_that_depend_on_the_greatest_position_are_not_cut():
    model = make_model("phi-3.5-longrope")
    assert not can_chunk(model)
    model.config.rope_parameters = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    assert not can_chunk(model)
    assert can_chunk(make_model("llama-3"))
    assert can_chunk(make_model("gemma-3"))
