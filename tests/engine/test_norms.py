"""A norm in one launch gives what the model's own gives, and stands in for nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sparsebench.engine.norms import FusedNorm, fuse_norms, original_norms

from .families import make_model


@pytest.mark.parametrize("family", ["llama", "qwen3", "mistral", "phi-3"])
def test_the_model_computes_the_same(family):
    model = make_model(family)
    for name, weight in model.named_parameters():
        if "norm" in name:
            nn.init.uniform_(weight, 0.5, 1.5)
    ids = torch.arange(5, 35)[None]
    own = sum(type(m).__name__.endswith("RMSNorm") for m in model.modules())
    names = set(model.state_dict())
    with torch.no_grad():
        expected = model(ids).logits
        assert fuse_norms(model) == own > 0
        found = model(ids).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert set(model.state_dict()) == names


def test_a_norm_that_scales_otherwise_keeps_its_place():
    # Gemma multiplies by one plus the weight
    model = make_model("gemma-3")
    assert fuse_norms(model) == 0
    assert not any(isinstance(module, FusedNorm) for module in model.modules())


def test_the_models_own_norms_come_back_for_a_while():
    model = make_model("llama")
    before = type(model.model.norm)
    count = fuse_norms(model)
    with original_norms(model):
        assert type(model.model.norm) is before
    assert sum(isinstance(module, FusedNorm) for module in model.modules()) == count
