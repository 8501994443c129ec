"""FlexPrefill: each head chooses its pattern, and all heads share one coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sparsebench.counting import running_sums
from sparsebench.errors import UserError
from sparsebench.methods.base import Axes, Heads, Layer, PrefillMethod
from sparsebench.methods.budget import check_block
from sparsebench.methods.estimate import block_means, block_sums, line_sums, logits_per_head
from sparsebench.methods.pick import first_blocks
from sparsebench.selection import BlockSelection

RANK_SLOPE = 1e-3


@dataclass(frozen=True)
class FlexPrefill(PrefillMethod):
    """Query-aware blocks or vertical-slash per head, cut by cumulative coverage (arXiv:2502.20766, Algorithms 1-4).

    The last block of queries gives each head's true attention over key blocks; its averaged query gives an estimate.
    Where the square root of their Jensen-Shannon divergence is below ``tau`` the estimate can be trusted and the head
    takes query-aware blocks (Algorithm 4): pooled scores of all (query block, key block) pairs, softmax per query
    block, the best ones until their sum covers ``gamma`` of all. Otherwise it takes vertical-slash (Algorithm 3): the
    best key-block columns and the best block diagonals, each until ``gamma`` of the last queries' attention is
    covered. The diagonal and the first key block come before all others.

    Budget rule: ``gamma`` is solved by bisection per layer and prompt such that the kept query-key pairs, averaged
    over heads, come as near to ``budget`` times the causal pairs as possible without exceeding it. Heads and query
    blocks that need more than others to cover gamma get more.

    Parameters
    ----------
    block
        Tokens per block of queries and keys: 16, 32, 64 or 128.
    tau
        Threshold of the Jensen-Shannon distance (natural logarithm); 0 makes every head vertical-slash.
    """

    block: int = 64
    tau: float = 0.1

    name: ClassVar[str] = "flexprefill"
    title: ClassVar[str] = "FlexPrefill"
    axes: ClassVar[Axes] = Axes(
        unit="block",
        importance="block-to-block or global-to-token, by head",
        budget="adaptive per head and query",
        cache="full",
    )
    source: ClassVar[str] = "FlexPrefill, arXiv:2502.20766, Algorithms 1-4; code: ByteDance-Seed/FlexPrefill"
    departures: ClassVar[tuple[str, ...]] = (
        "gamma is calibrated per layer and prompt to the budget; the authors fix it and let density vary.",
        "Columns and diagonals are ranked and covered by block; the authors cover tokens, then divide by 128.",
        "The rank enters the coverage with a slope of 0.001, so that heads whose coverage is all but 1 still grow.",
        "Where the budget cannot pay the first key block for all query blocks, the last query blocks get it first.",
        "No least number of tokens per head, and no dense attention for short prompts; the authors' code has both. Its "
        "query-aware heads get their least number as best columns and diagonals.",
        "Default block of 64 instead of 128, to serve short prompts.",
        "The last prompt token is processed in decode mode, so the last queries end one token before the prompt's end.",
    )

    def __post_init__(self) -> None:
        check_block("flexprefill: block", self.block)
        if not 0 <= self.tau <= 1:
            raise UserError(f"flexprefill: tau {self.tau}; allowed: 0 to 1")

    def select(self, q: Tensor, k: Tensor, budget: float, layer: Layer) -> BlockSelection:
        """See :meth:`PrefillMethod.select`."""
        return first_blocks(self.needed_coverage(q, k, layer), q.shape[2], self.block, budget, layer)

    def needed_coverage(self, q: Tensor, k: Tensor, layer: Layer) -> Tensor:
        """One more than the gamma from which on each key block is kept, float32 [B, H, N, N].

        Below 1: the first key block, which comes before all coverage, of the last query blocks first.
        """
        last = q[:, :, -self.block :]
        queries, keys = block_means(q, k, self.block, layer)
        columns, diagonals = (block_sums(x, self.block) / last.shape[2] for x in line_sums(last, k, layer))
        trusted = self.trusts_pooling(last, keys, columns, layer)[:, :, None, None]
        by_blocks = coverage(pooled_weights(queries, keys, layer).flatten(-2)).unflatten(-1, (columns.shape[-1], -1))
        needed = 1 + torch.where(trusted, by_blocks, by_lines(coverage(columns), coverage(diagonals)))
        N = needed.shape[-1]
        needed[..., 0] = torch.linspace(1 - 1 / N, 0, N, device=q.device)
        return needed

    def trusts_pooling(self, last: Tensor, keys: Tensor, true: Tensor, layer: Layer) -> Tensor:
        """Which heads take query-aware blocks, boolean [B, H] (Algorithm 2).

        Parameters
        ----------
        last
            [B, H, L, D]: the last block of queries.
        keys
            [B, G, N, D]: means of the key blocks.
        true
            [B, H, N]: the share of the last queries' attention that each key block has.
        """
        averaged = last.mean(-2, keepdim=True, dtype=torch.float32)
        estimated = logits_per_head(averaged, keys, layer).softmax(-1)[..., 0, :]
        return jensen_shannon_distance(true, estimated) < self.tau

    def estimation_flops(self, length: int, shape: Heads) -> float:
        """See :meth:`PrefillMethod.estimation_flops`: logits of the last block, and of all pairs of means."""
        blocks = -(-length // self.block)
        means = (shape.heads + shape.kv_heads) * length * shape.head_dim
        logits = min(self.block, length) * length + blocks + blocks**2
        return means + 2.0 * shape.heads * logits * shape.head_dim


def pooled_weights(queries: Tensor, keys: Tensor, layer: Layer) -> Tensor:
    """Softmax over the key blocks of each query block, [B, H, N, N], all of a head sum to 1."""
    scores = logits_per_head(queries, keys, layer)
    row = torch.arange(scores.shape[-1], device=scores.device)
    return scores.masked_fill_(row[None, :] > row[:, None], -torch.inf).softmax(-1).div_(len(row))


def by_lines(columns: Tensor, diagonals: Tensor) -> Tensor:
    """The lesser of each key block's column and block diagonal: two [B, H, N] -> [B, H, N, N]."""
    row = torch.arange(columns.shape[-1], device=columns.device)
    offset = (row[:, None] - row[None, :]).clamp(min=0)
    return torch.minimum(columns[:, :, None, :], diagonals[..., offset])


def coverage(weights: Tensor) -> Tensor:
    """What is covered before each entry's turn, best first, plus a small slope by rank: [..., n], weights sum to 1."""
    ordered, order = weights.sort(dim=-1, descending=True, stable=True)
    before = running_sums(ordered).sub_(ordered)
    before += torch.linspace(0, RANK_SLOPE, weights.shape[-1], device=weights.device)
    return torch.empty_like(before).scatter_(-1, order, before.clamp_(min=0))


def jensen_shannon_distance(p: Tensor, q: Tensor) -> Tensor:
    """Square root of the Jensen-Shannon divergence (natural logarithm) of distributions on the last axis."""
    mean = (p + q) / 2
    divergence = (torch.xlogy(p, p / mean) + torch.xlogy(q, q / mean)).nan_to_num(0.0).sum(-1) / 2
    return divergence.clamp(min=0).sqrt()
