"""Turn a GGUF file into the folder that transformers would have saved."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

log = logging.getLogger("sparsebench")


def _restore_digit_splitter(tokenizer: Any) -> None:
    """Put back the split of numbers into digits that the GGUF conversion of SmolLM tokenizers drops.

    GGUF names the pre-tokenizer (``tokenizer.ggml.pre = smollm``) instead of carrying it; transformers rebuilds plain
    byte-level BPE from it. The published tokenizer is ``Sequence[Digits(individual_digits=True), ByteLevel]``.
    """
    from tokenizers import pre_tokenizers

    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )


def _pre_tokenizer_name(file: Path) -> str:
    from gguf import GGUFReader

    field = GGUFReader(file).fields.get("tokenizer.ggml.pre")
    return "" if field is None else str(bytes(field.parts[-1]), "utf-8")


def convert_gguf(file: Path, folder: Path) -> None:
    """Write bfloat16 safetensors, config and tokenizer of the GGUF ``file`` into the existing ``folder``."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    log.info("converting %s (%.0f MB) to safetensors", file.name, file.stat().st_size / 1e6)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    name = _pre_tokenizer_name(file)
    if name in ("smollm", "smollm2"):
        _restore_digit_splitter(tokenizer)
    else:
        log.warning(
            "pre-tokenizer %r of %s is taken as transformers converts it; compare it with the model's own",
            name,
            file.name,
        )
    tokenizer.save_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    model = _dequantised(model)
    model.to(torch.bfloat16).save_pretrained(folder, safe_serialization=True)


def _dequantised(model: Any) -> Any:
    """A plain model with the weights of ``model``, which transformers marks as not serialisable."""
    from transformers import AutoModelForCausalLM

    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    weights = model.state_dict()
    plain = AutoModelForCausalLM.from_config(config)
    plain.load_state_dict(weights, strict=False)
    missing = set(plain.state_dict()) - set(weights)
    if missing:
        raise RuntimeError(f"weights not found in the GGUF file: {sorted(missing)[:5]}")
    plain.tie_weights()
    plain.generation_config = model.generation_config
    return plain
