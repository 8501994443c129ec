"""The one attention function that transformers calls, and how a model is told to use it.

The function holds no state and no policy: whoever runs the model passes a *pass* object as the keyword argument
``sparse``, and the function hands each layer's queries, keys and values to it. Keys and values are kept by the pass, so
no transformers cache is involved and nothing depends on its interface.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from sparsebench.errors import UserError
from sparsebench.models.rope import never_closes

INTERFACE = "sparsebench"
_PLACES = ("position_ids", "cache_position", "position_embeddings")  # in queries and keys already, after RoPE


@dataclass(frozen=True)
class Call:
    """One layer's attention: q [B, H, T, D] and the new tokens' k, v [B, G, T, D], after RoPE.

    ``window`` is the layer's sliding window in tokens (None: global layer), ``softcap`` the cap on logits (None: none).
    """

    layer: int
    q: Tensor
    k: Tensor
    v: Tensor
    scale: float
    window: int | None
    softcap: float | None


class AttentionPass(Protocol):
    """What runs attention for one forward pass of a model."""

    def attend(self, call: Call) -> Tensor:
        """Return the attention output [B, H, T, D]."""
        ...


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    sparse: AttentionPass | None = None,
    is_causal: bool | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    if sparse is None:
        raise UserError(
            f"{type(module).__name__} got no pass to attend by: its model does not hand keyword arguments on to "
            "attention, or was called outside the engine"
        )
    if attention_mask is not None:
        raise UserError(
            f"{type(module).__name__} makes a mask of its own, which no kernel here takes; allowed: causality"
        )
    _check_plain(module, query, key, value, is_causal, more)
    if never_closes(sliding_window, module.config):
        sliding_window = None
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    call = Call(int(module.layer_idx), query, key, value, scale, sliding_window, softcap)  # type: ignore[arg-type]
    return sparse.attend(call).transpose(1, 2).contiguous(), None


def _check_plain(
    module: torch.nn.Module, q: Tensor, k: Tensor, v: Tensor, is_causal: bool | None, more: Mapping[str, Any]
) -> None:
    """``UserError`` for attention that is not causal softmax over plain keys: what it adds would be left out unseen."""
    name = type(module).__name__
    if not (getattr(module, "is_causal", True) if is_causal is None else is_causal):
        raise UserError(f"{name} attends to later tokens too; allowed: causal attention")
    if q.shape[-1] != k.shape[-1] or k.shape != v.shape:
        raise UserError(
            f"{name} has queries, keys and values of {q.shape[-1]}, {k.shape[-1]} and {v.shape[-1]} channels (latent "
            "attention); allowed: equally many"
        )
    if added := sorted(key for key, value in more.items() if isinstance(value, Tensor) and key not in _PLACES):
        raise UserError(
            f"{name} gives its attention {', '.join(added)} beside queries, keys and values, such as learned sinks or "
            "a bias, which no kernel here computes"
        )


def _no_mask(*_: Any, attention_mask: Tensor | None = None, **__: Any) -> None:
    """Mask function of the interface: there is none, and a padding mask is refused rather than ignored."""
    if attention_mask is not None and not bool(attention_mask.all()):
        raise RuntimeError(f"attention {INTERFACE!r} got a padding mask: the engine never pads")


def patch(model: PreTrainedModel) -> None:
    """Route every attention layer of ``model`` through this module (idempotent)."""
    AttentionInterface.register(INTERFACE, _attention)
    AttentionMaskInterface.register(INTERFACE, _no_mask)
    model.set_attn_implementation(INTERFACE)
