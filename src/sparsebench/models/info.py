"""``model.json``: what the rest of the workflow needs to know of a fetched model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sparsebench.errors import UserError
from sparsebench.models.rope import Rope, long_above
from sparsebench.spec import Spec

FILE = "model.json"
_TENSORS = ("*.safetensors", "*.bin", "*.gguf")
_WEIGHTS = (*_TENSORS, "config.json", "generation_config.json")
_TOKENIZER = ("tokenizer*.json", "*.model", "vocab.*", "merges.txt", "chat_template*", "special_tokens_map.json")


class ModelInfo(Spec):
    """Facts of one fetched model.

    ``folder`` holds its weights: relative to ``model.json`` when they were fetched, so that results can be moved;
    absolute when the source was a local folder, which is used where it is. ``rope`` is the scaling that the config of
    the study states; without it that of ``folder`` holds. Above ``long_above_tok`` tokens LongRoPE takes other factors.
    """

    name: str
    source: str
    folder: str
    weights_digest: str
    tokenizer_digest: str
    max_length_tok: int
    architecture: str
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    rope: Rope | None = None
    long_above_tok: int | None = None
    weights_bytes: int = 0

    def model_digest(self, longest_tok: int) -> str:
        """Digest of the weights and of how positions of sequences up to ``longest_tok`` are scaled."""
        if self.rope is None and self.long_above_tok is None:
            return self.weights_digest
        rope = self.rope.model_dump_json(exclude_none=True) if self.rope else None
        long = self.long_above_tok is not None and longest_tok > self.long_above_tok
        return hashlib.sha256(repr((self.weights_digest, rope, long)).encode()).hexdigest()[:16]

    def kv_bytes_per_tok(self, itemsize: int) -> int:
        """Bytes of K and V that one token takes over all layers, at ``itemsize`` bytes a number."""
        return 2 * self.layers * self.kv_heads * self.head_dim * itemsize


def _digest(folder: Path, patterns: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for path in sorted({p for pattern in patterns for p in folder.glob(pattern) if p.is_file()}):
        digest.update(f"{path.name}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def describe_folder(
    name: str, source: str, folder: Path, max_length_tok: int | None = None, rope: Rope | None = None
) -> ModelInfo:
    """Read a transformers model folder.

    ``max_length_tok`` overrides the limit that its config states, and so does that of ``rope``.
    """
    text = _text_config(name, folder)
    if rope is not None:
        rope.put_into(text)
    try:
        heads, hidden = int(text.num_attention_heads), int(text.hidden_size)
        return ModelInfo(
            name=name,
            source=source,
            folder=str(folder.resolve()),
            weights_digest=_digest(folder, _WEIGHTS),
            tokenizer_digest=_digest(folder, _TOKENIZER),
            max_length_tok=max_length_tok or (rope.length_tok if rope else int(text.max_position_embeddings)),
            architecture=_architecture(folder),
            layers=int(text.num_hidden_layers),
            heads=heads,
            kv_heads=int(getattr(text, "num_key_value_heads", None) or heads),
            head_dim=int(getattr(text, "head_dim", None) or hidden // heads),
            hidden=hidden,
            rope=rope,
            long_above_tok=long_above(text),
            weights_bytes=sum(file.stat().st_size for pattern in _TENSORS for file in folder.glob(pattern)),
        )
    except AttributeError as missing:
        raise UserError(
            f"models.{name}: {folder / 'config.json'} states no {missing.name}; allowed: decoder-only models with a "
            "transformers config (set max_length_tok in the config if only the length limit is missing)"
        ) from None


def _text_config(name: str, folder: Path) -> Any:
    """The config of the text model with transformers' defaults, which published files rely on (Gemma 3's, say)."""
    from transformers import AutoConfig

    if not (folder / "config.json").is_file():
        raise UserError(f"models.{name}: no config.json in {folder}; allowed: a folder that transformers can load")
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if config.is_encoder_decoder:
            raise UserError(f"models.{name}: {config.model_type} has an encoder; allowed: decoder-only models")
        return config.get_text_config(decoder=True)
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"models.{name}: transformers knows no such model as {folder / 'config.json'} describes ({error})"
        ) from None


def _architecture(folder: Path) -> str:
    config = json.loads((folder / "config.json").read_text())
    return str((config.get("architectures") or [config.get("model_type", "unknown")])[0])


def write_info(info: ModelInfo, folder: Path) -> None:
    """Write ``model.json`` at once."""
    partial = folder / f".{FILE}.partial"
    partial.write_text(info.model_dump_json(indent=2) + "\n")
    partial.replace(folder / FILE)


def read_info(folder: Path) -> ModelInfo:
    """Read ``model.json``; ``UserError`` when it is missing, damaged, or its weights are gone."""
    path = folder / FILE
    try:
        info = ModelInfo.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; fetching a model makes results/models/<model>/{FILE}") from None
    except (OSError, ValidationError) as error:
        raise UserError(f"{path}: not a fetched model ({error}); delete the folder and run again") from None
    weights = folder.resolve() / info.folder
    if not (weights / "config.json").is_file():
        raise UserError(f"{path}: the weights it names are gone from {weights}; delete {path} and run again")
    return info.model_copy(update={"folder": str(weights)})


def tokenizer_dir(given: Path) -> Path:
    """Folder of the tokenizer of a fetched model (its ``model.json`` or folder), or of a local model folder."""
    folder = given.parent if given.name == FILE else given
    return folder if (folder / "tokenizer.json").is_file() else Path(read_info(folder).folder)
