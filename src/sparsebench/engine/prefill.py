"""Prefill of one prompt under one setting: sparse attention, KV kept, decode methods prepared on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sparsebench.counting import causal_pairs, prefill_pairs
from sparsebench.engine.attention import Call
from sparsebench.engine.chunks import run_prompt
from sparsebench.engine.ops import Ops
from sparsebench.engine.rows import PrefillSetting, Question
from sparsebench.engine.store import PromptStore
from sparsebench.errors import UserError
from sparsebench.methods.base import DecodeMethod, Layer


class PrefillPass:
    """Runs a prompt's attention and remembers what decoding needs.

    Global layers attend by the setting's selection, sliding-window layers stay dense within their window. After each
    global layer the decode methods build their state from its keys and last queries.

    Attributes
    ----------
    density
        Measured share of causal query-key pairs, mean over sparse layers and heads (1 when no layer is global).
    states
        ``states[layer][m]`` is what decode method m prepared for that layer; sliding layers have no entry.
    """

    def __init__(
        self,
        ops: Ops,
        store: PromptStore,
        prompt: int,
        setting: PrefillSetting,
        decode: Sequence[DecodeMethod],
        seed: int,
    ) -> None:
        self._ops, self._store, self._prompt, self._setting = ops, store, prompt, setting
        self._decode, self._seed = decode, seed
        self._shares: list[Tensor] = []
        self._attended: set[int] = set()
        self.states: dict[int, list[Any]] = {}

    @property
    def density(self) -> float:
        return float(torch.stack(self._shares).mean()) if self._shares else 1.0

    def attend(self, call: Call) -> Tensor:
        """Attention of the whole prompt; q [1, H, S, D], output alike."""
        if call.layer in self._attended:
            raise UserError(
                f"layer {call.layer} attends more than once in a forward pass (differential attention?); allowed: once"
            )
        self._attended.add(call.layer)
        k = self._store.write(call.layer, self._prompt, call.k[0], call.v[0])
        if call.window is not None:
            return self._ops.dense(call.q, call.k, call.v, scale=call.scale, softcap=call.softcap, window=call.window)
        layer = Layer(call.layer, call.scale, call.softcap, (self._seed,), self._ops.impl)
        length = call.q.shape[2]
        selection = self._setting.method.select(call.q, call.k, self._setting.budget, layer)
        pairs = prefill_pairs(selection, length, call.q.device)
        self._shares.append(pairs.double().mean() / causal_pairs(length))
        self.states[call.layer] = [m.prepare(k, call.q[0, :, max(0, length - m.window) :], layer) for m in self._decode]
        return self._ops.prefill(selection, call)


def prefill(model: PreTrainedModel, question: Question, run: PrefillPass) -> None:
    """Run all prompt tokens but the last one through the model's layers (no logits: none are needed yet).

    The last prompt token is left to the decode phase, so that every generated token is a product of it. A prompt of
    more than ``chunks.CHUNK_TOK`` tokens runs in chunks outside attention.
    """
    run_prompt(model, torch.tensor([question.ids[:-1]], device=model.device), run)
