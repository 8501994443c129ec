"""Tiny random models of the families that go through transformers' attention interface, in float32.

One line a family: its transformers configuration, and what the tiny instance sets beside ``COMMON``. Windows, native
lengths and LongRoPE's switch lie within reach of the prompts of the tests.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

WINDOW = 24
NATIVE = 64

COMMON: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 1024,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "attn_implementation": "eager",
}
_ALTERNATING = ["sliding_attention", "full_attention", "sliding_attention"]
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": NATIVE,
}
_YARN = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": NATIVE}
_LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0 + 0.02 * i for i in range(8)],
    "long_factor": [1.0 + 0.9 * i for i in range(8)],
    "original_max_position_embeddings": NATIVE,
}
_GEMMA2 = {"sliding_window": WINDOW, "query_pre_attn_scalar": 20, "attn_logit_softcapping": 5.0}
_GEMMA3 = {"sliding_window": WINDOW, "query_pre_attn_scalar": 20, "layer_types": _ALTERNATING}
_VISION = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
           "image_size": 28, "patch_size": 14}  # fmt: skip


@dataclass(frozen=True)
class Family:
    """``kind`` is transformers' name of the configuration; ``sparse_layers`` how many of the layers are global."""

    kind: str
    settings: dict[str, Any] = field(default_factory=dict)
    sparse_layers: int = 3


FAMILIES: dict[str, Family] = {
    "llama-2": Family("llama", {"num_key_value_heads": 4}),
    "llama-3": Family("llama", {"rope_parameters": _LLAMA3}),
    "llama": Family("llama"),
    "qwen2": Family("qwen2"),
    "qwen2-window": Family(
        "qwen2", {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1}, sparse_layers=1
    ),
    "qwen2.5-yarn": Family("qwen2", {"rope_parameters": _YARN}),
    "qwen3": Family("qwen3"),
    "qwen3-moe": Family("qwen3_moe", {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48}),
    "gemma-2": Family("gemma2", _GEMMA2, sparse_layers=1),
    "gemma-3": Family("gemma3_text", _GEMMA3, sparse_layers=1),
    "gemma-3-vision": Family("gemma3", {"text_config": COMMON | _GEMMA3, "vision_config": _VISION}, sparse_layers=1),
    "mistral": Family("mistral"),
    "mistral-window": Family("mistral", {"sliding_window": 40}, sparse_layers=0),
    "mixtral": Family("mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "ministral": Family("ministral", {"sliding_window": WINDOW, "layer_types": _ALTERNATING}, sparse_layers=1),
    "phi-3": Family("phi3", {"sliding_window": 2048}),
    "phi-3.5-longrope": Family(
        "phi3", {"rope_parameters": _LONGROPE, "original_max_position_embeddings": NATIVE, "sliding_window": 262144}
    ),
    "phi-2": Family("phi", {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}),
    "olmo-2": Family("olmo2"),
    "olmo-3": Family("olmo3", {"sliding_window": WINDOW, "layer_types": _ALTERNATING}, sparse_layers=1),
    "granite": Family("granite", {"attention_multiplier": 0.3, "logits_scaling": 2.0}),
    "smollm-3": Family("smollm3", {"no_rope_layers": [1, 0, 1]}),
    "cohere": Family("cohere", {"use_qk_norm": True}),
    "cohere-2": Family("cohere2", {"sliding_window": WINDOW, "layer_types": _ALTERNATING}, sparse_layers=1),
    "starcoder-2": Family("starcoder2"),
    "glm-4": Family("glm4"),
    "exaone-4": Family("exaone4", {"sliding_window": WINDOW, "layer_types": _ALTERNATING}, sparse_layers=1),
    "seed-oss": Family("seed_oss"),
    "apertus": Family("apertus"),
}


def make_config(name: str) -> PreTrainedConfig:
    """The configuration of a family's tiny model."""
    family = FAMILIES[name]
    return CONFIG_MAPPING[family.kind](**copy.deepcopy(COMMON | family.settings))


def make_model(name: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """A tiny random model of a family, anew at each call: patching changes it."""
    torch.manual_seed(5)
    return sharpened(AutoModelForCausalLM.from_config(make_config(name), dtype=dtype).eval())


def sharpened(model: PreTrainedModel) -> PreTrainedModel:
    """Scale random weights: as drawn they attend almost uniformly, and what is attended to would not matter."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if any(part in name for part in ("q_proj", "k_proj", "qkv_proj")):
                weight.mul_(8)
            elif "norm" not in name and "embed" not in name:
                weight.mul_(3)
    model.generation_config.eos_token_id = None
    model.config.eos_token_id = None
    return model
