"""The model that is measured: what it weighs, what a step reads and a prompt computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from transformers import PreTrainedModel

from sparsebench.cost.model import entry_bytes, prefill_cost
from sparsebench.cost.shape import ITEMSIZE, ModelShape
from sparsebench.engine.ops import Ops
from sparsebench.engine.rows import Question
from sparsebench.measure.device import Ceilings
from sparsebench.methods.dense import DenseDecode, DensePrefill
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

    @cached_property
    def shape(self) -> ModelShape:
        """Its sizes, counted from its modules."""
        return ModelShape.of(self.model, self.label)

    def step_weight_bytes(self) -> int:
        """Weights that a decode step of one row reads: all but the input embedding and experts that do not serve it."""
        return self.shape.active_parameters * self.model.dtype.itemsize

    def step_kv_bytes(self, length: int, density: float) -> float:
        """Keys and values of a prompt that a decode step of one row reads: sliding layers read their window."""
        return entry_bytes(self.shape, length, density) / ITEMSIZE * self.model.dtype.itemsize

    def kv_bytes(self, tokens: float) -> float:
        """Keys and values of so many tokens, over all layers."""
        return tokens * self.shape.kv_bytes_per_tok / ITEMSIZE * self.model.dtype.itemsize

    def prefill_flops(self, length: int, density: float) -> float:
        """FLOPs of a prompt: products with all weights, and attention over ``density`` of the pairs."""
        return prefill_cost(self.shape, length, density, DensePrefill(), DenseDecode()).total

    def question(self, length: int, new_tok: int) -> Question:
        """A prompt of ``length`` random tokens, the same at every call."""
        generator = torch.Generator().manual_seed(length)
        vocabulary = int(self.model.config.get_text_config().vocab_size)
        return Question(tuple(torch.randint(0, vocabulary, (length,), generator=generator).tolist()), new_tok)

    def row(self) -> dict[str, Any]:
        """Columns that all rows of this model share."""
        return {
            "device": device_name(),
            "model": self.label,
            "heads": self.shape.heads,
            "kv_heads": self.shape.kv_heads,
            "head_dim": self.shape.head_dim,
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
