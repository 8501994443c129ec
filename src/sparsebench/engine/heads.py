"""Methods under tensor parallelism, where a rank sees its own heads of a layer alone.

A method that treats every KV head by itself (``independent_heads``) selects on each rank for that rank's heads. Any
other one is shown all heads of the layer, on every rank, and each rank keeps its part of the selection. So a method
needs to know nothing of ranks, and selects what it selects on one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from sparsebench.engine.ranks import Ranks
from sparsebench.methods.base import DecodeMethod, Heads, Layer, PrefillMethod
from sparsebench.selection import (
    BlockSelection,
    DecodeSelection,
    LineSelection,
    PrefillSelection,
    TokenSelection,
)


class _PrefillOfAllHeads(PrefillMethod):
    def __init__(self, method: PrefillMethod, heads: int, ranks: Ranks) -> None:
        self._method, self._heads, self._ranks = method, heads, ranks

    def select(self, q: Tensor, k: Tensor, budget: float, layer: Layer) -> PrefillSelection:
        if q.shape[1] == self._heads:  # a family whose attention is whole on every rank
            return self._method.select(q, k, budget, layer)
        q, k = self._ranks.gathered(q, 1), self._ranks.gathered(k, 1)
        return _own_lists(self._method.select(q, k, budget, layer), self._ranks)

    def estimation_flops(self, length: int, shape: Heads) -> float:
        return self._method.estimation_flops(length, shape)


class _DecodeOfAllHeads(DecodeMethod):
    def __init__(self, method: DecodeMethod, heads: int, ranks: Ranks) -> None:
        self._method, self._heads, self._ranks = method, heads, ranks
        self.axes = method.axes  # type: ignore[misc]
        self.fixed = method.fixed  # type: ignore[misc]
        self.window = method.window

    def prepare(self, k: Tensor, q_window: Tensor, layer: Layer) -> Any:
        whole = q_window.shape[0] == self._heads
        if not whole:
            k, q_window = self._ranks.gathered(k, 0), self._ranks.gathered(q_window, 0)
        return whole, self._method.prepare(k, q_window, layer)

    def select(self, state: Any, q: Tensor, budgets: Sequence[float]) -> DecodeSelection:
        whole, inner = state
        if whole:
            return self._method.select(inner, q, budgets)
        if not self.fixed:  # a fixed one reads no query
            q = self._ranks.gathered(q, 1)
        return _own_tokens(self._method.select(inner, q, budgets), self._ranks)

    def preparation_flops(self, length: int, shape: Heads) -> float:
        return self._method.preparation_flops(length, shape)

    def metadata_bytes(self, length: int, shape: Heads, itemsize: int) -> float:
        return self._method.metadata_bytes(length, shape, itemsize)


def _own_lists(selection: PrefillSelection, ranks: Ranks) -> PrefillSelection:
    """This rank's heads, which are axis 1 of all lists and counts."""
    match selection:
        case BlockSelection(blocks, count, block):
            return BlockSelection(ranks.own(blocks, 1), ranks.own(count, 1), block)
        case LineSelection(columns, column_count, diagonals, diagonal_count):
            return LineSelection(*(ranks.own(x, 1) for x in (columns, column_count, diagonals, diagonal_count)))
    return selection


def _own_tokens(selection: DecodeSelection, ranks: Ranks) -> DecodeSelection:
    """This rank's KV heads."""
    if isinstance(selection, TokenSelection):
        return TokenSelection(ranks.own(selection.tokens, 1), ranks.own(selection.count, 1))
    return selection


def prefill_on(method: PrefillMethod, heads: int, ranks: Ranks) -> PrefillMethod:
    """``method`` as the passes of a rank may call it; ``heads`` are the query heads of the whole layer."""
    return method if ranks.size == 1 or method.independent_heads else _PrefillOfAllHeads(method, heads, ranks)


def decode_on(method: DecodeMethod, heads: int, ranks: Ranks) -> DecodeMethod:
    """As :func:`prefill_on`, of the other phase."""
    return method if ranks.size == 1 or method.independent_heads else _DecodeOfAllHeads(method, heads, ranks)
