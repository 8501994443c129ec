"""Vertical-slash prefill of MInference: whole columns and whole diagonals, found by the last queries."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sparsebench.counting import causal_pairs, union_pairs
from sparsebench.masks import listed
from sparsebench.methods.base import Axes, Heads, Layer, PrefillMethod
from sparsebench.methods.budget import check_positive
from sparsebench.methods.estimate import line_sums
from sparsebench.selection import LineSelection

PROMOTED_EVERY = 4


@dataclass(frozen=True)
class VerticalSlash(PrefillMethod):
    """Global-to-token estimation (MInference, arXiv:2407.02490, section 3.2, Algorithm 2).

    The attention of the last ``last_q`` queries is summed over columns (keys) and over diagonals (distances); each head
    keeps its best columns and diagonals. The first ``sinks`` columns and the first ``local`` diagonals (the local band)
    are promoted: the j-th of them ranks no lower than place 4j, so they are kept first but never fill more than a
    quarter of a small budget.

    Budget rule: each head keeps as many diagonals as columns (one more when the number of lines is odd, so that the
    main diagonal is always there); the number is the largest whose exact union of query-key pairs fits ``budget``
    times the causal pairs, found by bisection.

    Parameters
    ----------
    last_q
        Queries that estimate.
    sinks, local
        Columns at the start and diagonals next to the main one that are promoted.
    """

    last_q: int = 64
    sinks: int = 30
    local: int = 100

    name: ClassVar[str] = "vertical_slash"
    title: ClassVar[str] = "Vertical-slash"
    axes: ClassVar[Axes] = Axes(unit="vertical/slash", importance="global-to-token", budget="uniform", cache="full")
    independent_heads: ClassVar[bool] = True
    source: ClassVar[str] = "MInference 1.0, arXiv:2407.02490, Algorithm 2; code: microsoft/MInference"
    departures: ClassVar[tuple[str, ...]] = (
        "Columns and diagonals are equally many and follow from the budget; the authors search both per head offline.",
        "30 sink columns and 100 local diagonals take at most a quarter of the lines; the authors keep all.",
        "Diagonals are single offsets; the authors' kernel widens each to a block of 64.",
        "All heads are vertical-slash; the authors search a pattern per head offline.",
        "The last prompt token is processed in decode mode, so the last queries end one token before the prompt's end.",
    )

    def __post_init__(self) -> None:
        check_positive("vertical_slash: last_q", self.last_q)
        check_positive("vertical_slash: sinks", self.sinks)
        check_positive("vertical_slash: local", self.local)

    def select(self, q: Tensor, k: Tensor, budget: float, layer: Layer) -> LineSelection:
        """See :meth:`PrefillMethod.select`."""
        T = q.shape[2]
        vertical, slash = line_sums(q[:, :, -self.last_q :], k, layer)
        column_rank, diagonal_rank = ranking(vertical, self.sinks), ranking(slash, self.local)
        lines = fitting_lines(column_rank, diagonal_rank, budget)
        # c columns hold at least 1 + 2 + .. + c pairs, so that the budget bounds their number, and that of diagonals
        width = min(T, 1 + math.isqrt(2 * int(budget * causal_pairs(T))))
        columns, column_count = listed(column_rank < lines // 2, width)
        diagonals, diagonal_count = listed(diagonal_rank < (lines + 1) // 2, width)
        return LineSelection(columns, column_count, diagonals, diagonal_count)

    def estimation_flops(self, length: int, shape: Heads) -> float:
        """See :meth:`PrefillMethod.estimation_flops`: the last queries' logits."""
        return 2.0 * shape.heads * min(self.last_q, length) * length * shape.head_dim


def ranking(scores: Tensor, promoted: int) -> Tensor:
    """Place of each entry by descending score, the first ``promoted`` entries moved up: entry j to place 4j at least.

    Parameters
    ----------
    scores
        [..., T].

    Returns
    -------
    int64 [..., T], a permutation of 0 .. T-1; entry 0 is first.
    """
    T = scores.shape[-1]
    place = inverse(scores.argsort(dim=-1, descending=True, stable=True))
    index = torch.arange(T, device=scores.device)
    # doubled, so that a promoted entry goes before the one whose place it takes
    lifted = torch.where(index < promoted, torch.minimum(2 * place, 2 * PROMOTED_EVERY * index - 1), 2 * place)
    return inverse(lifted.argsort(dim=-1, stable=True))


def inverse(order: Tensor) -> Tensor:
    """Place of each entry in a permutation of the last axis."""
    index = torch.arange(order.shape[-1], device=order.device).expand(order.shape)
    return torch.empty_like(order).scatter_(-1, order, index)


def fitting_lines(column_rank: Tensor, diagonal_rank: Tensor, budget: float) -> Tensor:
    """Most lines per head, columns and diagonals in turn, whose union of pairs fits the budget; at least one.

    Parameters
    ----------
    column_rank, diagonal_rank
        int64 [B, H, T].

    Returns
    -------
    int64 [B, H, 1].
    """
    T = column_rank.shape[-1]
    room = budget * causal_pairs(T)
    low = torch.ones_like(column_rank[..., :1])
    high = torch.full_like(low, 2 * T + 1)
    for _ in range((2 * T).bit_length()):
        middle = (low + high) // 2
        pairs = union_pairs(column_rank < middle // 2, diagonal_rank < (middle + 1) // 2)
        fits = pairs[..., None] <= room
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    return low
