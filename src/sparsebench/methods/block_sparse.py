"""Block-sparse prefill of MInference: which key blocks a query block reads is told by pooled queries and keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from sparsebench.methods.base import Axes, Heads, Layer, PrefillMethod
from sparsebench.methods.budget import blocks_per_row, check_block
from sparsebench.methods.estimate import block_means, chunks, products_per_head
from sparsebench.methods.pick import top_blocks
from sparsebench.selection import BlockSelection


@dataclass(frozen=True)
class BlockSparse(PrefillMethod):
    """Block-to-block estimation (MInference, arXiv:2407.02490, section 3.2, Algorithm 3).

    Queries and keys are averaged over blocks of tokens; each query block reads the key blocks with the highest product
    of averages, always its own (diagonal) block, and the first block as soon as it reads two.

    Budget rule: every query block reads the same real-valued number k of key blocks (all of them if fewer precede it);
    k is solved so that the kept query-key pairs come as near to ``budget`` times the causal pairs as whole blocks
    allow without exceeding it (:func:`sparsebench.methods.budget.blocks_per_row`).

    Parameters
    ----------
    block
        Tokens per block of queries and keys: 16, 32, 64 or 128.
    """

    block: int = 64

    name: ClassVar[str] = "block_sparse"
    title: ClassVar[str] = "Block-sparse"
    axes: ClassVar[Axes] = Axes(unit="block", importance="block-to-block", budget="uniform", cache="full")
    independent_heads: ClassVar[bool] = True
    source: ClassVar[str] = "MInference 1.0, arXiv:2407.02490, Algorithm 3; code: microsoft/MInference"
    departures: ClassVar[tuple[str, ...]] = (
        "The first and the diagonal block are always kept (the authors' block-sparse pattern keeps what scores best).",
        "The number of blocks follows from the budget and is the same for all heads; the authors fix 100 blocks.",
        "All heads are block-sparse; the authors search a pattern per head offline.",
    )

    def __post_init__(self) -> None:
        check_block("block_sparse: block", self.block)

    def select(self, q: Tensor, k: Tensor, budget: float, layer: Layer) -> BlockSelection:
        """See :meth:`PrefillMethod.select`."""
        counts = blocks_per_row(q.shape[2], self.block, budget)
        return top_blocks(self._scores(q, k, layer), counts, self.block, layer, sink=True)

    def _scores(self, q: Tensor, k: Tensor, layer: Layer) -> Iterator[tuple[int, Tensor]]:
        queries, keys = block_means(q, k, self.block, layer)
        H, N = q.shape[1], keys.shape[2]
        for lo, hi in chunks(N, H * N, q.device):
            yield lo, products_per_head(queries[:, :, lo:hi], keys, layer)

    def estimation_flops(self, length: int, shape: Heads) -> float:
        """See :meth:`PrefillMethod.estimation_flops`: means of queries and keys, and logits of all pairs of means."""
        blocks = -(-length // self.block)
        means = (shape.heads + shape.kv_heads) * length * shape.head_dim
        return means + 2.0 * shape.heads * blocks**2 * shape.head_dim
