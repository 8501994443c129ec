"""Load a fetched model for inference."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.distributed import DistributedConfig
from transformers.utils.logging import disable_progress_bar

from sparsebench.engine.attention import patch
from sparsebench.engine.norms import fuse_norms
from sparsebench.errors import UserError
from sparsebench.models.rope import Rope, settle
from sparsebench.spec import DType

log = logging.getLogger("sparsebench")


@dataclass(frozen=True)
class Loaded:
    """A patched model in evaluation mode, and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def pick_dtype(dtype: DType, device: torch.device) -> torch.dtype:
    """``auto``: bfloat16 on CUDA, float32 on CPU (where bfloat16 is slow without matrix units)."""
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    chosen = getattr(torch, dtype)
    assert isinstance(chosen, torch.dtype)
    return chosen


def pick_device(rank: int = 0) -> torch.device:
    """The CUDA device of a rank among those that this job may use, else the CPU."""
    return torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")


def check_interface(model: PreTrainedModel, origin: Path) -> None:
    """``UserError`` unless attention of ``model`` can be replaced and is all that tokens know of each other."""
    name = type(model).__name__
    if not getattr(model, "_supports_attention_backend", False):
        raise UserError(
            f"{origin}: architecture {name} does not go through transformers' attention interface, "
            "so its attention cannot be replaced (allowed: decoder-only families that do, e.g. Llama, Qwen, Gemma)"
        )
    kinds = getattr(model.config.get_text_config(decoder=True), "layer_types", None) or ()
    odd = sorted({str(kind) for kind in kinds} - {"full_attention", "sliding_attention"})
    if odd:
        raise UserError(
            f"{origin}: architecture {name} has layers of kind {', '.join(odd)}; allowed: full_attention and "
            "sliding_attention in every layer (what others keep of past tokens, or hide of them, is not known here)"
        )


def load(
    folder: Path,
    dtype: DType,
    device: torch.device,
    rope: Rope | None = None,
    longest_tok: int | None = None,
    ranks: int = 1,
) -> Loaded:
    """Load weights and tokenizer from ``folder`` (a transformers model folder) onto ``device``.

    Parameters
    ----------
    rope
        Scaling of positions instead of the one that the folder states.
    longest_tok
        Longest prompt plus answer that will be run (default: what the model takes); LongRoPE picks its factors by it.
    ranks
        Processes of the group that this one has joined, each of which calls this and gets its share of the weights.

    Raises ``UserError`` when the folder holds no decoder-only model that transformers can route through its attention
    interface.
    """
    disable_progress_bar()  # a log is read later, by lines
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        _set_positions(config.get_text_config(decoder=True), rope, longest_tok)
        split = {"distributed_config": DistributedConfig(tp_size=ranks)} if ranks > 1 else {}
        model = AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=pick_dtype(dtype, device), local_files_only=True, **split
        )
        model.eval().to(device)
    except torch.OutOfMemoryError:
        raise UserError(
            f"{folder}: its weights do not fit the memory that is free on {device}; allowed: fewer jobs at a time "
            "(--resources gpu=1), or more `gpus` for the model"
        ) from None
    except UserError as error:
        raise UserError(f"{folder}: {error}") from None
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder}: transformers cannot load a causal language model from it ({error})") from error
    check_interface(model, folder)
    patch(model)
    if device.type == "cuda":
        fuse_norms(model)
    log.info(
        "loaded %s: %s, %.1f M parameters, %s on %s",
        folder,
        type(model).__name__,
        model.num_parameters() / 1e6,
        model.dtype,
        device,
    )
    return Loaded(model, tokenizer)


def _set_positions(config: PreTrainedConfig, rope: Rope | None, longest_tok: int | None) -> None:
    """Scale positions as asked, for sequences of ``longest_tok`` (default: what the model takes)."""
    if rope is not None:
        rope.put_into(config)
    if getattr(config, "rope_parameters", None):
        settle(config, longest_tok or int(getattr(config, "max_position_embeddings", 0)) or 2**31)


def check_split(folder: Path, name: str, ranks: int) -> None:
    """``UserError`` unless the model in ``folder`` can be split over ``ranks`` processes; reads its config alone."""
    if torch.cuda.is_available() and torch.cuda.device_count() < ranks:
        raise UserError(
            f"models.{name}.gpus: {ranks}, and this job sees {torch.cuda.device_count()} (CUDA_VISIBLE_DEVICES, or the "
            "request to the cluster); allowed: as many as there are"
        )
    text = AutoConfig.from_pretrained(folder, local_files_only=True).get_text_config(decoder=True)
    plan = text.base_model_tp_plan
    if not plan:
        raise UserError(
            f"models.{name}.gpus: {ranks}, and transformers knows no way to split {text.model_type}; allowed: 1"
        )
    heads = int(text.num_attention_heads)
    kv_heads = int(getattr(text, "num_key_value_heads", None) or heads)
    if splits_heads(text) and (kv_heads % ranks or heads % ranks):
        allowed = [str(n) for n in range(1, kv_heads + 1) if kv_heads % n == heads % n == 0]
        raise UserError(
            f"models.{name}.gpus: {ranks}, and its {kv_heads} KV heads (of {heads} query heads) cannot be shared "
            f"equally; allowed: {', '.join(allowed)}"
        )


def splits_heads(config: PreTrainedConfig) -> bool:
    """Whether a text model that is split over ranks gives each its share of heads; else attention is whole on all."""
    return (config.base_model_tp_plan or {}).get("layers.*.self_attn.k_proj") == "colwise"
