"""Decoder layers compiled for decode steps: what lies between their products takes a few launches instead of dozens.

Attention stays outside, as it is: the compiler sees a layer up to its call and from there on. Nothing that it sees
differs between layers of a kind, so that all of them share what was compiled for the first one. Prefill runs the
model's own layers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from sparsebench.engine.attention import INTERFACE, AttentionPass, Call

log = logging.getLogger("sparsebench")

COMPILED = "compiled_step"  # the attribute of a layer
ROWS = (2, 1)  # tried: what serves two rows serves any greater number, one row is compiled by itself
# relative error of the hidden states; the compiler rounds less often than eager steps do
NEAR = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}

# seconds that compiling takes a process, and that it saves a layer in each step: trials (docs/performance.md)
COMPILING_S, SAVED_S = 12.0, 15e-6


class _Carrier:
    """A pass of one type, whatever the pass: the compiler ties what it made to the type that it saw."""

    def __init__(self, run: AttentionPass) -> None:
        self._run = run

    def attend(self, call: Call) -> Tensor:
        return self._run.attend(call)


class _Trial:
    """Stands in for attention: some function of queries and values, without a cache."""

    def attend(self, call: Call) -> Tensor:
        return call.q + call.v.repeat_interleave(call.q.shape[1] // call.v.shape[1], 1)


def decoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The layers of ``model`` in order; none where they cannot be told."""
    count = model.config.get_text_config(decoder=True).num_hidden_layers
    lists = [m for m in model.get_decoder().children() if isinstance(m, nn.ModuleList) and len(m) == count]
    return list(lists[0]) if len(lists) == 1 else []


def repays(model: PreTrainedModel, steps: int) -> bool:
    """Whether compiled layers save more time in ``steps`` decode steps than compiling takes."""
    return steps * len(decoder_layers(model)) * SAVED_S > COMPILING_S


def compile_layers(model: PreTrainedModel, backend: str = "inductor", options: Mapping[str, Any] | None = None) -> bool:
    """Compile the layers of a patched ``model`` for :func:`compiled_layers`, if they then compute what they did.

    That is tried on random tokens, once for one row and once for several; the log says what came of it. ``options`` are
    the compiler's.
    """
    layers = decoder_layers(model)
    try:
        for layer in layers:
            made = torch.compile(layer.forward, backend=backend, dynamic=True, options=dict(options or {}) or None)
            setattr(layer, COMPILED, made)
        error = max(_error(model, rows) for rows in ROWS) if layers else float("nan")
        near = error <= NEAR.get(model.dtype, 0.0)
        why = f"relative error {error:.1e}" if layers else "not found"
    except Exception as failure:  # whatever a compiler raises, the model's own layers are there
        near, why = False, " ".join(str(failure).split())[:200]
    if not near:
        for layer in layers:
            vars(layer).pop(COMPILED, None)
    log.info("decode steps run %s layers (%s)", "compiled" if near else "the model's own", why)
    return near


@torch.inference_mode()
def _error(model: PreTrainedModel, rows: int) -> float:
    """Relative distance of the last hidden states of compiled layers from those of the model's own."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = int(model.config.get_text_config(decoder=True).vocab_size)
    ids = torch.randint(0, vocabulary, (rows, 1), generator=generator).to(model.device)
    places = torch.arange(7, 7 + rows, device=model.device)[:, None]

    def last(run: AttentionPass) -> Tensor:
        output = model.get_decoder()(input_ids=ids, position_ids=places, use_cache=False, sparse=run)
        hidden: Tensor = output.last_hidden_state
        return hidden.double()

    expected = last(_Trial())
    with compiled_layers(model, _Trial()) as run:
        found = last(run)
    return float((found - expected).norm() / expected.norm())


@cache
def _outside(attention: Callable[..., Any]) -> Callable[..., Any]:
    """``attention`` as a call that the compiler leaves alone; one object, since its identity is checked."""
    left_alone: Callable[..., Any] = torch.compiler.disable(attention)
    return left_alone


@contextmanager
def compiled_layers(model: PreTrainedModel, run: AttentionPass) -> Iterator[AttentionPass]:
    """Have ``model`` run what :func:`compile_layers` made, within the block; yields ``run`` as the model then takes it.

    Where nothing was made, the model's own layers run.
    """
    layers = [layer for layer in decoder_layers(model) if COMPILED in vars(layer)]
    if not layers:
        yield run
        return
    attention = AttentionInterface()[INTERFACE]
    AttentionInterface.register(INTERFACE, _outside(attention))
    for layer in layers:
        layer.forward = getattr(layer, COMPILED)
    try:
        yield _Carrier(run)
    finally:
        for layer in layers:
            del layer.forward
        AttentionInterface.register(INTERFACE, attention)
