"""The facts of a model that its cost follows from, read from a transformers config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsebench.counting import causal_pairs
from sparsebench.errors import UserError
from sparsebench.methods.base import Heads

ITEMSIZE = 2  # bytes of a weight or a KV channel: costs are those of 16-bit inference, whatever a run computed in
_GLOBAL, _SLIDING = "full_attention", "sliding_attention"


@dataclass(frozen=True)
class ModelShape:
    """A decoder-only model: columns of the table ``models``.

    Parameters
    ----------
    parameters
        Weights in all. Norms and biases, less than a thousandth, are left out.
    active_parameters
        Weights that one token passes through: layers (of experts only those that serve it) and output layer.
    layers, global_layers, window_tok
        Layers; those without a sliding window; reach of the others, the current token included.
    heads, kv_heads, head_dim, hidden, intermediate, vocabulary
        Sizes as in the model's config.
    """

    parameters: int
    active_parameters: int
    layers: int
    global_layers: int
    window_tok: int | None
    heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    intermediate: int
    vocabulary: int

    @property
    def attention(self) -> Heads:
        """Heads of one layer, as methods are told of them."""
        return Heads(self.heads, self.kv_heads, self.head_dim)

    @property
    def kv_bytes_per_tok(self) -> int:
        """Bytes of K and V of one token in all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * ITEMSIZE

    def window_pairs(self, length: int) -> int:
        """Causal query-key pairs of one sliding layer over ``length`` tokens."""
        inside = min(length, self.window_tok or length)
        return causal_pairs(inside) + (length - inside) * inside

    @classmethod
    def from_config(cls, config: Mapping[str, Any], name: str = "model") -> ModelShape:
        """Facts of a transformers config, as ``config.json`` holds it; what it leaves out is the family's default.

        Raises
        ------
        UserError
            For an unknown family, and for attention or experts of a kind that the cost model does not know.
        """
        from transformers import AutoConfig

        try:
            whole = AutoConfig.for_model(**config)
        except (TypeError, ValueError, KeyError) as error:
            raise UserError(f"models.{name}: config.json is of no family that transformers knows ({error})") from None
        text = whole.get_text_config()
        heads, hidden = text.num_attention_heads, text.hidden_size
        kv_heads = getattr(text, "num_key_value_heads", None) or heads
        head_dim = getattr(text, "head_dim", None) or hidden // heads
        global_layers, window = _layers(text, name)
        experts, active, intermediate = _experts(text, name)
        attention = hidden * head_dim * (2 * heads + 2 * kv_heads)
        mlp, router = 3 * hidden * intermediate, hidden * experts if experts > 1 else 0
        output = hidden * text.vocab_size
        tied = bool(getattr(text, "tie_word_embeddings", False))
        layers = text.num_hidden_layers
        return cls(
            parameters=layers * (attention + experts * mlp + router) + output * (1 if tied else 2),
            active_parameters=layers * (attention + active * mlp + router) + output,
            layers=layers,
            global_layers=global_layers,
            window_tok=window,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            hidden=hidden,
            intermediate=intermediate,
            vocabulary=text.vocab_size,
        )

    @classmethod
    def from_folder(cls, folder: Path, name: str = "model") -> ModelShape:
        """Facts of the model whose ``config.json`` lies in ``folder``."""
        import json

        file = folder / "config.json"
        try:
            return cls.from_config(json.loads(file.read_text()), name)
        except (OSError, ValueError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"models.{name}: {file} is not readable ({error})") from None


def _layers(text: Any, name: str) -> tuple[int, int | None]:
    """Global layers, and the window of the others if there are any."""
    window = getattr(text, "sliding_window", None)
    kinds = getattr(text, "layer_types", None) or [_SLIDING if window else _GLOBAL] * text.num_hidden_layers
    odd = sorted(set(kinds) - {_GLOBAL, _SLIDING})
    if odd or getattr(text, "kv_lora_rank", None):
        raise UserError(
            f"models.{name}: attention of kind {', '.join(odd) or 'latent (MLA)'}; "
            "the cost model knows full and sliding-window attention over plain keys and values"
        )
    count = kinds.count(_GLOBAL)
    return count, window if count < len(kinds) else None


def _experts(text: Any, name: str) -> tuple[int, int, int]:
    """MLPs per layer, those that serve one token, and channels inside each."""
    experts = next((n for key in ("num_local_experts", "num_experts") if (n := getattr(text, key, None))), 1)
    if experts == 1:
        return 1, 1, text.intermediate_size
    mixed = getattr(text, "mlp_only_layers", None) or getattr(text, "decoder_sparse_step", 1) != 1
    if mixed or getattr(text, "shared_expert_intermediate_size", None) or getattr(text, "n_shared_experts", None):
        raise UserError(
            f"models.{name}: experts in some layers only, or shared ones; the cost model knows dense MLPs and layers "
            "that all have the same experts"
        )
    width = getattr(text, "moe_intermediate_size", None) or text.intermediate_size
    return experts, text.num_experts_per_tok, width
