"""The reference models: sizes, training attention, export."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase
from transformers.masking_utils import AttentionMaskInterface
from transformers.utils.logging import disable_progress_bar

from sparsebench.errors import unknown
from sparsebench.train.vocabulary import save_tokenizer

MAX_LENGTH_TOK = 8192
_ATTENTION = "sparsebench-train"
_SHARD = "14MB"


@dataclass(frozen=True)
class Size:
    """Width, layers, query heads, SwiGLU width, peak learning rate; two KV heads and head dimension 64 throughout."""

    hidden: int
    layers: int
    heads: int
    inner: int
    rate: float


SIZES = {
    "nano-2m": Size(192, 4, 4, 320, 2e-3),
    "nano-6m": Size(320, 5, 4, 704, 1.5e-3),
    "nano-18m": Size(512, 6, 8, 1280, 1e-3),
}
"""Sizes by name; the name counts parameters with a vocabulary of 4,096."""


def _causal(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: None, **given: Any
) -> tuple[torch.Tensor, None]:
    """Causal attention without a mask, which the flash kernels take; padding stands at the end, so none is needed."""
    out = functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=given.get("scaling"), enable_gqa=True
    )
    return out.transpose(1, 2).contiguous(), None


def build(size: str, tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    """A fresh model in float32."""
    if size not in SIZES:
        raise unknown("size", size, SIZES, "--size")
    s = SIZES[size]
    config = LlamaConfig(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        hidden_size=s.hidden,
        intermediate_size=s.inner,
        num_hidden_layers=s.layers,
        num_attention_heads=s.heads,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=MAX_LENGTH_TOK,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        use_cache=True,
    )
    return LlamaForCausalLM(config).float()


def for_training(model: LlamaForCausalLM, compiled: bool) -> None:
    """Mask-free causal attention, and each decoder layer compiled once for any batch and length."""
    AttentionInterface.register(_ATTENTION, _causal)
    AttentionMaskInterface.register(_ATTENTION, lambda *a, **k: None)
    model.config._attn_implementation = _ATTENTION
    if compiled:
        for layer in model.model.layers:
            layer.compile(dynamic=True)


def export(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a plain transformers folder: config, bfloat16 shards of at most 14 MB, tokenizer, generation config."""
    disable_progress_bar()
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    plain = LlamaForCausalLM(LlamaConfig(**_config(model))).to(torch.bfloat16)
    plain.load_state_dict({name.replace("_orig_mod.", ""): tensor for name, tensor in model.state_dict().items()})
    plain.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    plain.save_pretrained(partial, max_shard_size=_SHARD)
    save_tokenizer(tokenizer, partial)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("model*.safetensors*"):
        old.unlink()
    for path in partial.iterdir():
        path.replace(folder / path.name)
    partial.rmdir()


def _config(model: LlamaForCausalLM) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(model.config.to_json_string(use_diff=False))
    for name in ("_attn_implementation", "attn_implementation", "dtype", "torch_dtype"):
        config.pop(name, None)
    return config
