"""The best choice there is: what the true attention weights say. A control, not a method to deploy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sparsebench.counting import block_rows, causal_pairs
from sparsebench.kernels.softcap import capped
from sparsebench.methods.base import Axes, DecodeMethod, Heads, Layer, PrefillMethod
from sparsebench.methods.budget import blocks_per_row, check_block, tokens_kept
from sparsebench.methods.estimate import block_sums, chunks, logits_per_head
from sparsebench.methods.pick import row_counts, top_blocks, top_tokens
from sparsebench.selection import BlockSelection, TokenSelection

_SOURCE = "control of this project: selection by true attention mass"


@dataclass(frozen=True)
class OraclePrefill(PrefillMethod):
    """The key blocks with the highest true attention mass per query block and head, and the diagonal block.

    Computes all of attention to choose, so it saves nothing: it tells how far a method is from the best. No choice of
    as many blocks for a query block keeps more of its attention.

    Budget rule: that of ``block_sparse``: the same number of key blocks for every query block
    (:func:`sparsebench.methods.budget.blocks_per_row`). A budget shared among heads and query blocks would keep more
    mass in all, but takes it from single queries that look at one place.

    Parameters
    ----------
    block
        Tokens per block of queries and keys: 16, 32, 64 or 128.
    """

    block: int = 16

    name: ClassVar[str] = "oracle"
    title: ClassVar[str] = "Oracle"
    axes: ClassVar[Axes] = Axes(unit="block", importance="true attention mass", budget="uniform", cache="full")
    independent_heads: ClassVar[bool] = True
    source: ClassVar[str] = _SOURCE

    def __post_init__(self) -> None:
        check_block("oracle: block", self.block)

    def select(self, q: Tensor, k: Tensor, budget: float, layer: Layer) -> BlockSelection:
        """See :meth:`PrefillMethod.select`."""
        counts = blocks_per_row(q.shape[2], self.block, budget)
        return top_blocks([(0, self.mass(q, k, layer))], counts, self.block, layer)

    def mass(self, q: Tensor, k: Tensor, layer: Layer) -> Tensor:
        """Attention mass of each key block per query of each query block, float32 [B, H, N, N]."""
        B, H, T, _ = q.shape
        N = -(-T // self.block)
        positions = torch.arange(T, device=q.device)
        mass = q.new_zeros(B, H, N, N, dtype=torch.float32)
        for first, stop in chunks(N, H * T * self.block, q.device):
            lo, hi = first * self.block, min(T, stop * self.block)
            # one batch entry at a time: memory, and sums that do not depend on the batch
            for b in range(B):
                logits = logits_per_head(q[b, :, lo:hi], k[b, :, :hi], layer)
                logits[..., lo:].masked_fill_(positions[lo:hi] > positions[lo:hi, None], -torch.inf)
                by_key_block = block_sums(logits.softmax(-1), self.block)
                mass[b, :, first:stop, :stop] = block_sums(by_key_block.transpose(1, 2), self.block).transpose(1, 2)
        return mass / block_rows(T, self.block, q.device)[:, None]

    def estimation_flops(self, length: int, shape: Heads) -> float:
        """See :meth:`PrefillMethod.estimation_flops`: the logits of all causal pairs."""
        return 2.0 * shape.heads * causal_pairs(length) * shape.head_dim


@dataclass(frozen=True)
class OracleDecode(DecodeMethod):
    """The prompt tokens with the highest true attention mass of the current query, summed over a KV head's queries.

    Budget rule: every KV head reads ``budget`` times the prompt's tokens (rounded, at least 1) per step.
    """

    name: ClassVar[str] = "oracle"
    title: ClassVar[str] = "Oracle"
    axes: ClassVar[Axes] = Axes(unit="token", importance="true attention mass", budget="uniform", cache="full")
    independent_heads: ClassVar[bool] = True
    source: ClassVar[str] = _SOURCE

    def prepare(self, k: Tensor, q_window: Tensor, layer: Layer) -> tuple[Tensor, Layer]:
        """Keeps the keys."""
        return k, layer

    def select(self, state: tuple[Tensor, Layer], q: Tensor, budgets: Sequence[float]) -> TokenSelection:
        """See :meth:`DecodeMethod.select`."""
        k, layer = state
        mass = self.mass(q, k, layer)
        kept = [tokens_kept(k.shape[1], budget) for budget in budgets]
        if layer.impl == "triton":
            from sparsebench.kernels.top_entries import MOST, top_entries

            if k.shape[1] <= MOST:  # a row of scores in registers; torch's own choice is the same
                count = row_counts(kept, q.device)
                tokens = top_entries(mass, count[:, 0], max(kept)).transpose(0, 1)
                return TokenSelection(tokens, count.expand(-1, k.shape[0]))
        return top_tokens(mass.transpose(0, 1), kept)

    def mass(self, q: Tensor, k: Tensor, layer: Layer) -> Tensor:
        """Attention mass of each prompt token for each row, summed over a KV head's queries: float32 [G, R, S]."""
        G = k.shape[0]
        if layer.impl == "triton" and k.dtype != torch.float32:
            # Rows take the place of query positions, so that one product serves them all. Keys go first: then the rows
            # of the result are aligned whatever the prompt's length.
            queries = q.transpose(0, 1).reshape(G, -1, q.shape[-1]).transpose(1, 2)
            products = torch.bmm(k, queries, out_dtype=torch.float32).transpose(1, 2)
            logits = capped(products.contiguous().mul_(layer.scale), layer.softcap)
        else:
            logits = logits_per_head(q.transpose(0, 1), k, layer).flatten(0, 1)
        return logits.view(G, -1, q.shape[0], k.shape[1]).softmax(-1).sum(1)

    def preparation_flops(self, length: int, shape: Heads) -> float:
        """See :meth:`DecodeMethod.preparation_flops`: it keeps the keys."""
        return 0.0

    def metadata_bytes(self, length: int, shape: Heads, itemsize: int) -> float:
        """See :meth:`DecodeMethod.metadata_bytes`: all keys."""
        return float(shape.kv_heads * length * shape.head_dim * itemsize)
