"""A prefill method may choose differently in each layer, all of it in some."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from sparsebench.engine.attention import Call, patch
from sparsebench.engine.generate import Generator
from sparsebench.engine.ops import Ops, load_ops
from sparsebench.engine.prefill import PrefillPass
from sparsebench.engine.rows import DecodeSetting, Job, PrefillSetting, Question
from sparsebench.engine.store import PromptStore
from sparsebench.methods.block_sparse import BlockSparse
from sparsebench.methods.dense import DenseDecode
from sparsebench.selection import BlockSelection, Everything

from .conftest import SpelledTokens
from .families import make_model

LENGTH = 160


@dataclass(frozen=True)
class FirstLayerDense(BlockSparse):
    """Everything in layer 0, the diagonal blocks elsewhere."""

    def select(self, q, k, budget, layer):
        if layer.index == 0:
            return Everything()
        B, H, T, _ = q.shape
        blocks = torch.arange(-(-T // self.block), dtype=torch.int32, device=q.device).expand(B, H, -1)[..., None]
        return BlockSelection(blocks, torch.ones_like(blocks[..., 0]), self.block)


SETTING = PrefillSetting(FirstLayerDense(block=16), 0.5)


def test_density_is_the_mean_over_dense_and_sparse_layers():
    model = make_model("llama")
    layers = model.config.num_hidden_layers
    patch(model)
    generator = Generator(model, SpelledTokens(), load_ops("reference", torch.device("cpu")), "shared")
    ids = tuple(3 + i % 90 for i in range(LENGTH + 1))  # the last token is not prefilled
    [[answer]] = generator.answer([Job(Question(ids, 2), SETTING, (DecodeSetting(DenseDecode(), 1.0),))])
    diagonal = 16 * 17 / 2 * (LENGTH / 16) / (LENGTH * (LENGTH + 1) / 2)
    assert answer.prefill_density == pytest.approx((1 + (layers - 1) * diagonal) / layers)


def test_shares_of_all_layers_lie_on_the_device_of_the_queries():
    """Stands in for a GPU: joining tensors of ``meta`` and the CPU is an error, as it is with CUDA's."""

    def as_queries(q, *_, **__):
        return q

    ops = Ops("reference", as_queries, as_queries, as_queries, as_queries)
    run = PrefillPass(ops, PromptStore([LENGTH]), 0, SETTING, (), seed=0)
    q, k = (torch.empty(1, heads, LENGTH, 16, device="meta") for heads in (4, 2))
    for layer in range(2):
        run.attend(Call(layer, q, k, k, 0.25, None, None))
    with pytest.raises(RuntimeError, match="meta tensors"):  # joined, and only their value is not there
        _ = run.density
