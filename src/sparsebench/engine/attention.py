"""The one attention function that transformers calls, and how a model is told to use it.

The function holds no state and no policy: whoever runs the model passes a *pass* object as the keyword argument
``sparse``, and the function hands each layer's queries, keys and values to it. Keys and values are kept by the pass, so
no transformers cache is involved and nothing depends on its interface.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from sparsebench.errors import UserError

INTERFACE = "sparsebench"


@dataclass(frozen=True)
class Call:
    """One layer's attention: q [B, H, T, D] and the new tokens' k, v [B, G, T, D], after RoPE.

    ``window`` is the layer's sliding window in tokens (None: global layer), ``softcap`` the cap on logits (None: none).
    A window as long as the longest sequence that the model takes never closes: such a layer is global.
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
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    if sparse is None:
        raise RuntimeError(f"attention {INTERFACE!r} runs only inside the engine: call the model with sparse=<pass>")
    if attention_mask is not None:
        raise RuntimeError(f"attention {INTERFACE!r} takes no mask: the engine never pads, causality is its own")
    if s_aux is not None:
        raise UserError(f"{type(module).__name__} adds learned sinks to its attention, which no kernel here computes")
    if sliding_window is not None and sliding_window >= getattr(module.config, "max_position_embeddings", torch.inf):
        sliding_window = None
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    call = Call(int(module.layer_idx), query, key, value, scale, sliding_window, softcap)  # type: ignore[arg-type]
    return sparse.attend(call).transpose(1, 2).contiguous(), None


def _no_mask(*_: Any, attention_mask: Tensor | None = None, **__: Any) -> None:
    """Mask function of the interface: there is none, and a padding mask is refused rather than ignored."""
    if attention_mask is not None and not bool(attention_mask.all()):
        raise RuntimeError(f"attention {INTERFACE!r} got a padding mask: the engine never pads")


def patch(model: PreTrainedModel) -> None:
    """Route every attention layer of ``model`` through this module (idempotent)."""
    AttentionInterface.register(INTERFACE, _attention)
    AttentionMaskInterface.register(INTERFACE, _no_mask)
    model.set_attn_implementation(INTERFACE)
