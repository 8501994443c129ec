"""From scores to lists: top entries with ragged counts, without a host synchronisation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from sparsebench.selection import BlockSelection, TokenSelection


def compact(members: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Ascending positions of the members of each last-axis mask.

    Parameters
    ----------
    members
        Boolean [..., n], at most ``width`` of them true.

    Returns
    -------
    int32 [..., width] and int32 [...]; entries past the count are 0.
    """
    place = torch.where(members, members.cumsum(-1) - 1, width).long()
    index = torch.arange(members.shape[-1], dtype=torch.int32, device=members.device).expand(members.shape)
    out = index.new_zeros(*members.shape[:-1], width + 1)
    out.scatter_(-1, place, index)
    return out[..., :width].contiguous(), members.sum(-1, dtype=torch.int32)


def top_blocks(scores: Iterable[tuple[int, Tensor]], counts: Sequence[int], block: int) -> BlockSelection:
    """The diagonal block of each query block and its best other key blocks.

    Parameters
    ----------
    scores
        Chunks of query blocks: number of the chunk's first, and scores [B, H, chunk, N]. What lies above the diagonal
        is ignored.
    counts
        N counts, the diagonal among them, as :func:`sparsebench.methods.budget.blocks_per_row` gives them.
    """
    N, widest = len(counts), max(counts)
    lists, kept = [], []
    for first, chunk in scores:
        B, H, rows, _ = chunk.shape
        row = torch.arange(first, first + rows, device=chunk.device)[:, None]
        key = torch.arange(N, device=chunk.device)
        ranked = chunk.masked_fill(key == row, torch.inf).masked_fill(key > row, -torch.inf)
        best = ranked.topk(widest, dim=-1).indices
        count = torch.tensor(counts[first : first + rows], dtype=torch.int32, device=chunk.device)
        best = best.masked_fill(torch.arange(widest, device=chunk.device) >= count[:, None], N)
        lists.append(best.sort(-1).values.int())
        kept.append(count.expand(B, H, rows))
    return BlockSelection(torch.cat(lists, 2), torch.cat(kept, 2), block)


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
    """int32 [R, 1] on ``device``."""
    return torch.tensor(counts, dtype=torch.int32, device=device)[:, None]
