"""The model that is measured: what it weighs, what a step reads and a prompt computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from sparsebench.counting import causal_pairs
from sparsebench.engine.memory import Memory
from sparsebench.engine.ops import Ops
from sparsebench.engine.rows import Question
from sparsebench.measure.device import Ceilings
from sparsebench.provenance import device_name


@dataclass(frozen=True)
class Subject:
    """A patched model under its label, with the ops it runs on and the device's ceilings."""

    label: str
    model: PreTrainedModel
    ops: Ops
    ceilings: Ceilings

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.model.device

    def step_weight_bytes(self) -> int:
        """Weights that a decode step reads: all but the input embedding, of which it reads a row per token.

        With tied embeddings the same matrix makes the logits and is read.
        """
        held = sum(p.numel() * p.element_size() for p in self.model.parameters())
        table = self.model.get_input_embeddings().weight
        tied = self.model.get_output_embeddings().weight is table
        return held - (0 if tied else table.numel() * table.element_size())

    def kv_bytes(self, tokens: float) -> float:
        """Keys and values of so many tokens, over all layers."""
        return tokens * Memory.of(self.model).kv_bytes_per_tok

    def prefill_flops(self, length: int, density: float) -> float:
        """FLOPs of the layers over a prompt: products with all weights, and attention over ``density`` of the pairs.

        Counts sliding-window layers as global ones.
        """
        layers = self.model.get_decoder().layers
        weights = sum(m.weight.numel() for m in layers.modules() if isinstance(m, torch.nn.Linear))
        config = self.model.config.get_text_config()
        memory = Memory.of(self.model)
        pairs = causal_pairs(length) * density
        return 2.0 * weights * length + 4.0 * memory.head_dim * config.num_attention_heads * memory.layers * pairs

    def question(self, length: int, new_tok: int) -> Question:
        """A prompt of ``length`` random tokens, the same at every call."""
        generator = torch.Generator().manual_seed(length)
        vocabulary = int(self.model.config.get_text_config().vocab_size)
        return Question(tuple(torch.randint(0, vocabulary, (length,), generator=generator).tolist()), new_tok)

    def row(self) -> dict[str, Any]:
        """Columns that all rows of this model share."""
        memory = Memory.of(self.model)
        return {
            "device": device_name(),
            "model": self.label,
            "heads": int(self.model.config.get_text_config().num_attention_heads),
            "kv_heads": memory.kv_heads,
            "head_dim": memory.head_dim,
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }


class NoText:
    """Stands in for a tokenizer where only time counts: no text, and no token ends an answer."""

    eos_token_id = None

    def decode(self, ids: list[int], skip_special_tokens: bool = True) -> str:
        """Nothing."""
        return ""


@contextmanager
def endless(model: PreTrainedModel) -> Iterator[None]:
    """No token of ``model`` ends an answer, so that every row generates as many as asked for."""
    holders = (model.config, model.generation_config)
    before = [holder.eos_token_id for holder in holders]
    for holder in holders:
        holder.eos_token_id = None
    try:
        yield
    finally:
        for holder, value in zip(holders, before, strict=True):
            holder.eos_token_id = value
