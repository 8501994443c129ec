"""The facts of a model that its cost follows from: its transformers config, and its modules without their numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sparsebench.counting import causal_pairs
from sparsebench.errors import UserError
from sparsebench.methods.base import Heads
from sparsebench.models.rope import Rope, never_closes

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ITEMSIZE = 2  # bytes of a weight or a KV channel: costs are those of 16-bit inference, whatever a run computed in
_GLOBAL, _SLIDING = "full_attention", "sliding_attention"
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")


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
    def from_config(cls, config: Mapping[str, Any], name: str = "model", rope: Rope | None = None) -> ModelShape:
        """Facts of a transformers config, as ``config.json`` holds it; what it leaves out is the family's default.

        Parameters
        ----------
        rope
            Scaling of positions instead of the one that the config states.

        Raises
        ------
        UserError
            For an unknown family, and for attention of a kind that the cost model does not know.
        """
        from transformers import AutoConfig, AutoModelForCausalLM

        try:
            whole = AutoConfig.for_model(**config)
            text = whole.get_text_config(decoder=True)
            if rope is not None:
                rope.put_into(text)
            _layers(text, name)  # before modules are made, which an odd config cannot tell as well
            with torch.device("meta"):
                model = AutoModelForCausalLM.from_config(whole)
            return cls.of(model, name)
        except UserError:
            raise
        except AttributeError as error:
            raise UserError(f"models.{name}: config.json states sizes under other names than most ({error})") from None
        except (TypeError, ValueError, KeyError) as error:
            raise UserError(f"models.{name}: config.json is of no family that transformers knows ({error})") from None

    @classmethod
    def of(cls, model: PreTrainedModel, name: str = "model") -> ModelShape:
        """Facts of a model of transformers, whose weights may lie on the device ``meta``."""
        text = model.config.get_text_config(decoder=True)
        global_layers, window = _layers(text, name)
        weights, active = _weights(model, text)
        heads = text.num_attention_heads
        return cls(
            parameters=weights,
            active_parameters=active,
            layers=text.num_hidden_layers,
            global_layers=global_layers,
            window_tok=window,
            heads=heads,
            kv_heads=getattr(text, "num_key_value_heads", None) or heads,
            head_dim=getattr(text, "head_dim", None) or text.hidden_size // heads,
            hidden=text.hidden_size,
            intermediate=getattr(text, "moe_intermediate_size", None) or text.intermediate_size,
            vocabulary=text.vocab_size,
        )

    @classmethod
    def from_folder(cls, folder: Path, name: str = "model", rope: Rope | None = None) -> ModelShape:
        """Facts of the model whose ``config.json`` lies in ``folder``; see :meth:`from_config`."""
        file = folder / "config.json"
        try:
            return cls.from_config(json.loads(file.read_text()), name, rope)
        except UserError:
            raise
        except (OSError, ValueError) as error:
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
    if never_closes(window, text):
        return len(kinds), None
    count = kinds.count(_GLOBAL)
    return count, window if count < len(kinds) else None


def _weights(model: PreTrainedModel, text: Any) -> tuple[int, int]:
    """Weights of the text model, and of those that one token passes through; norms and biases left out."""
    experts = next((n for key in _EXPERTS if (n := getattr(text, key, None))), 1)
    served = text.num_experts_per_tok / experts if experts > 1 else 1
    every = passed = 0
    decoder = model.get_decoder()
    rows = {id(m.weight) for m in decoder.modules() if isinstance(m, torch.nn.Embedding)}  # looked up, not multiplied
    for name, weight in decoder.named_parameters():
        if weight.ndim > 1 and id(weight) not in rows and not re.search("norm|bias", name):
            every += weight.numel()
            passed += round(weight.numel() * (served if ".experts." in name else 1))
    embedding, output = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    tables = embedding.numel() + (0 if output is embedding else output.numel())
    return every + tables, passed + output.numel()
