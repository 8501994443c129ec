"""Dense attention: the line that every method is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from sparsebench.methods.base import Axes, DecodeMethod, Heads, Layer, PrefillMethod
from sparsebench.selection import Everything

_AXES = Axes(unit="none", importance="none: everything is kept", budget="all of it", cache="full")


@dataclass(frozen=True)
class DensePrefill(PrefillMethod):
    """Every query attends to all keys before it, whatever the budget."""

    name: ClassVar[str] = "dense"
    title: ClassVar[str] = "Dense"
    axes: ClassVar[Axes] = _AXES
    independent_heads: ClassVar[bool] = True
    source: ClassVar[str] = "Attention Is All You Need, arXiv:1706.03762, section 3.2.1"

    def select(self, q: Tensor, k: Tensor, budget: float, layer: Layer) -> Everything:
        """Everything."""
        return Everything()

    def estimation_flops(self, length: int, shape: Heads) -> float:
        """See :meth:`PrefillMethod.estimation_flops`: none."""
        return 0.0


@dataclass(frozen=True)
class DenseDecode(DecodeMethod):
    """Every generated token reads the whole KV cache, whatever the budget."""

    name: ClassVar[str] = "dense"
    title: ClassVar[str] = "Dense"
    axes: ClassVar[Axes] = _AXES
    independent_heads: ClassVar[bool] = True
    source: ClassVar[str] = "Attention Is All You Need, arXiv:1706.03762, section 3.2.1"
    fixed: ClassVar[bool] = True

    def prepare(self, k: Tensor, q_window: Tensor, layer: Layer) -> None:
        """Nothing to prepare."""

    def select(self, state: Any, q: Tensor, budgets: Sequence[float]) -> Everything:
        """Everything."""
        return Everything()

    def preparation_flops(self, length: int, shape: Heads) -> float:
        """See :meth:`DecodeMethod.preparation_flops`: none."""
        return 0.0

    def metadata_bytes(self, length: int, shape: Heads, itemsize: int) -> float:
        """See :meth:`DecodeMethod.metadata_bytes`: none."""
        return 0.0
