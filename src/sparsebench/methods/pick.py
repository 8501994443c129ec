"""From scores to lists: top entries with ragged counts, without a host synchronisation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from sparsebench.counting import causal_pairs
from sparsebench.methods.base import Layer
from sparsebench.selection import BlockSelection, TokenSelection


def top_blocks(
    scores: Iterable[tuple[int, Tensor]], counts: Sequence[int], block: int, layer: Layer, sink: bool = False
) -> BlockSelection:
    """The diagonal block of each query block and its best other key blocks.

    Parameters
    ----------
    scores
        Chunks of query blocks: number of the chunk's first, and scores [B, H, chunk, N]. What lies above the diagonal
        is ignored.
    counts
        N counts, the diagonal among them, as :func:`sparsebench.methods.budget.blocks_per_row` gives them.
    sink
        Key block 0 comes before all but the diagonal.
    """
    if layer.impl == "triton":
        from sparsebench.kernels.top_entries import top_entries
    else:
        from sparsebench.kernels.top_entries_ref import top_entries
    widest = max(counts)
    lists = []
    for first, chunk in scores:
        count = counts_on(tuple(counts[first : first + chunk.shape[2]]), chunk.device)
        lists.append(top_entries(chunk, count, widest, diagonal=first, sink=sink))
    blocks = torch.cat(lists, 2) if len(lists) > 1 else lists[0]
    kept = counts_on(tuple(counts), blocks.device).expand(blocks.shape[:3])
    return BlockSelection(blocks, kept, block)


def first_blocks(order: Tensor, length: int, block: int, budget: float, layer: Layer) -> BlockSelection:
    """As many blocks as the budget pays, over all heads and query blocks of each batch entry together.

    Parameters
    ----------
    order
        float32 [B, H, N, N] by query and key block, >= 0; least is kept first. The diagonal block of each query block
        is always kept, what lies above it never.

    Returns
    -------
    The blocks up to the greatest value of ``order`` for which the kept query-key pairs, averaged over heads, do not
    exceed ``budget`` times the causal pairs.
    """
    if layer.impl == "triton":
        from sparsebench.kernels.least_blocks import least_blocks
    else:
        from sparsebench.kernels.least_blocks_ref import least_blocks
    pairs = int(budget * causal_pairs(length) * order.shape[1])
    return BlockSelection(*least_blocks(order, length, block, pairs), block)


def top_tokens(scores: Tensor, counts: Sequence[int]) -> TokenSelection:
    """The best tokens of each row and KV head: scores [R, G, S], one count per row."""
    R, G, _ = scores.shape
    tokens = scores.topk(max(counts), dim=-1).indices.int()
    return TokenSelection(tokens, row_counts(counts, scores.device).expand(R, G))


def ranked_tokens(order: Tensor, counts: Sequence[int]) -> TokenSelection:
    """The first tokens of one ranking for all rows: order [G, S], one count per row."""
    R, G = len(counts), order.shape[0]
    tokens = order[:, : max(counts)].int().expand(R, G, -1)
    return TokenSelection(tokens, row_counts(counts, order.device).expand(R, G))


def row_counts(counts: Sequence[int], device: torch.device) -> Tensor:
    """int32 [R, 1] on ``device``; not to be written to."""
    return counts_on(tuple(counts), device)[:, None]


@lru_cache(maxsize=4096)  # more than a batch of many prompts, methods and budgets asks for in one step
def counts_on(counts: tuple[int, ...], device: torch.device) -> Tensor:
    """int32 on ``device``; kept, since a copy from the host at every step would stop a captured CUDA graph."""
    with torch.inference_mode(False):
        return torch.tensor(counts, dtype=torch.int32, device=device)
