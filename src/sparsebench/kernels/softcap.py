"""The cap that some models put on attention logits; shared by the reference ops and the methods' estimates."""

from __future__ import annotations

import torch
from torch import Tensor


def capped(logits: Tensor, softcap: float | None) -> Tensor:
    """``softcap * tanh(logits / softcap)`` (Gemma 2, arXiv:2408.00118, section 2), or the logits without a cap."""
    return logits if softcap is None else torch.tanh(logits / softcap) * softcap
