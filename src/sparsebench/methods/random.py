"""A choice that knows nothing: the worst that a method should do at a budget. A control."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sparsebench.methods.base import Axes, DecodeMethod, Heads, Layer, PrefillMethod
from sparsebench.methods.budget import blocks_per_row, check_block, tokens_kept
from sparsebench.methods.estimate import chunks
from sparsebench.methods.pick import ranked_tokens, top_blocks
from sparsebench.selection import BlockSelection, TokenSelection

_STEP = 0x1E3779B97F4A7C15
_SOURCE = "control of this project: selection at random"


def scrambled(*parts: int | Tensor) -> Tensor:
    """Uniform numbers in [0, 1), a pure function of the broadcast integers: the same on any device and in any batch.

    Every part is mixed in with the finaliser of SplitMix64 (Steele, Lea and Flood 2014).
    """
    state = torch.tensor(_STEP)
    for part in parts:
        # a number stays a number, and one tensor of the host without axes may meet those of a device: nothing is copied
        state = _mixed(state + (part * _STEP if isinstance(part, Tensor) else _signed(part * _STEP)))
    return (state & (2**24 - 1)).float() / 2**24


def _signed(number: int) -> int:
    """The 64-bit integer that ``number`` wraps around to."""
    return (number + 2**63) % 2**64 - 2**63


def _mixed(x: Tensor) -> Tensor:
    # torch shifts signed numbers arithmetically: the mask makes the shift logical
    x = (x ^ ((x >> 30) & (2**34 - 1))) * -0x40A7B892E31B1A47
    x = (x ^ ((x >> 27) & (2**37 - 1))) * -0x6B2FB644ECCEEE15
    return x ^ ((x >> 31) & (2**33 - 1))


@dataclass(frozen=True)
class RandomPrefill(PrefillMethod):
    """Key blocks drawn at random per query block and head; the diagonal block is always kept.

    Drawn from the sample's seed and the layer's number; a smaller budget keeps a subset of a larger one.

    Budget rule: that of ``block_sparse``: the same number of key blocks for every query block
    (:func:`sparsebench.methods.budget.blocks_per_row`).

    Parameters
    ----------
    block
        Tokens per block of queries and keys: 16, 32, 64 or 128.
    """

    block: int = 16

    name: ClassVar[str] = "random"
    title: ClassVar[str] = "Random"
    axes: ClassVar[Axes] = Axes(unit="block", importance="none: random", budget="uniform", cache="full")
    source: ClassVar[str] = _SOURCE

    def __post_init__(self) -> None:
        check_block("random: block", self.block)

    def select(self, q: Tensor, k: Tensor, budget: float, layer: Layer) -> BlockSelection:
        """See :meth:`PrefillMethod.select`."""
        counts = blocks_per_row(q.shape[2], self.block, budget)
        return top_blocks(self._draws(q, layer), counts, self.block, layer)

    def _draws(self, q: Tensor, layer: Layer) -> Iterator[tuple[int, Tensor]]:
        H, N = q.shape[1], -(-q.shape[2] // self.block)
        seeds = torch.tensor(layer.seeds, device=q.device)[:, None, None, None]
        heads = torch.arange(H, device=q.device)[:, None, None]
        keys = torch.arange(N, device=q.device)
        for lo, hi in chunks(N, H * N, q.device):
            yield lo, scrambled(seeds, layer.index, heads, torch.arange(lo, hi, device=q.device)[:, None], keys)

    def estimation_flops(self, length: int, shape: Heads) -> float:
        """See :meth:`PrefillMethod.estimation_flops`: none."""
        return 0.0


@dataclass(frozen=True)
class RandomDecode(DecodeMethod):
    """Prompt tokens drawn at random per KV head, once per prompt; the others are evicted.

    Drawn from the sample's seed and the layer's number; a smaller budget keeps a subset of a larger one.

    Budget rule: every KV head keeps ``budget`` times the prompt's tokens (rounded, at least 1).
    """

    name: ClassVar[str] = "random"
    title: ClassVar[str] = "Random"
    axes: ClassVar[Axes] = Axes(unit="token", importance="none: random", budget="uniform", cache="evict")
    source: ClassVar[str] = _SOURCE
    fixed: ClassVar[bool] = True

    def prepare(self, k: Tensor, q_window: Tensor, layer: Layer) -> Tensor:
        """A ranking [G, S] of the prompt's tokens."""
        heads = torch.arange(k.shape[0], device=k.device)[:, None]
        tokens = torch.arange(k.shape[1], device=k.device)
        return scrambled(layer.seeds[0], layer.index, heads, tokens).argsort(dim=-1, stable=True)

    def select(self, state: Tensor, q: Tensor, budgets: Sequence[float]) -> TokenSelection:
        """See :meth:`DecodeMethod.select`."""
        return ranked_tokens(state, [tokens_kept(state.shape[1], budget) for budget in budgets])

    def preparation_flops(self, length: int, shape: Heads) -> float:
        """See :meth:`DecodeMethod.preparation_flops`: none."""
        return 0.0

    def metadata_bytes(self, length: int, shape: Heads, itemsize: int) -> float:
        """See :meth:`DecodeMethod.metadata_bytes`: none, what is kept is all there is."""
        return 0.0
