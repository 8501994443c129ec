"""Root mean square norms in one launch where transformers' own take eight: a decode step has dozens of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

log = logging.getLogger("sparsebench")


class FusedNorm(nn.Module):
    """Torch's own RMS norm with the weight of a module of transformers, which it stands in for."""

    def __init__(self, original: nn.Module, weight: nn.Parameter, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = weight, eps
        self.original = (original,)  # in a tuple, so that it is no submodule

    def forward(self, hidden: Tensor) -> Tensor:
        return F.rms_norm(hidden, self.weight.shape, self.weight, self.eps)


def _fused(module: nn.Module) -> FusedNorm | None:
    """A stand-in for ``module`` if it is a plain RMS norm: that is tried out on random numbers."""
    weight = getattr(module, "weight", None)
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if not type(module).__name__.endswith("RMSNorm") or not isinstance(eps, float):
        return None
    if not isinstance(weight, nn.Parameter) or weight.dim() != 1:
        return None
    made = FusedNorm(module, weight, eps)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(4, weight.shape[0], generator=generator).to(weight.device, weight.dtype)
    with torch.no_grad():
        expected, found = module(hidden), made(hidden)
    near = 4 * torch.finfo(weight.dtype).eps  # rounded once where transformers rounds twice
    return made if found.dtype == expected.dtype and torch.allclose(found, expected, rtol=near, atol=near) else None


def fuse_norms(model: nn.Module) -> int:
    """Put a :class:`FusedNorm` in the place of every plain RMS norm; returns how many."""
    count = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            made = _fused(child)
            if made is not None:
                setattr(parent, name, made)
                count += 1
    log.info("%d norms run in one launch each", count)
    return count


@contextmanager
def original_norms(model: nn.Module) -> Iterator[None]:
    """The model's own norms again, for as long as the block runs."""
    places = [
        (parent, name, child)
        for parent in list(model.modules())
        for name, child in parent.named_children()
        if isinstance(child, FusedNorm)
    ]
    for parent, name, child in places:
        setattr(parent, name, child.original[0])
    try:
        yield
    finally:
        for parent, name, child in places:
            setattr(parent, name, child)
