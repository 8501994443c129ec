"""The greatest entries of each row, ascending by position, in plain torch: the oracle of the Triton kernel."""

from __future__ import annotations

import torch
from torch import Tensor


def top_entries(
    scores: Tensor, count: Tensor, width: int, *, diagonal: int | None = None, sink: bool = False
) -> Tensor:
    """Positions of the ``count`` greatest entries of each row; of equal entries the first come first.

    Parameters
    ----------
    scores
        float32 [..., T, n], no NaN where they compete.
    count
        int32 [T]; 1 <= count <= width <= n.
    width
        Length of the lists.
    diagonal
        When set, row t keeps entry ``diagonal + t`` before all others and none behind it, whatever stands there;
        ``count`` must not exceed ``diagonal + t + 1``.
    sink
        Entry 0 comes next before all others.

    Returns
    -------
    int32 [..., T, width], ascending within the first ``count``; what lies past it is 0.
    """
    T, n = scores.shape[-2:]
    at = torch.arange(n, device=scores.device)
    # a stable sort by score, then by what comes before all scores
    order = scores.argsort(dim=-1, descending=True, stable=True)
    first = torch.zeros(T, n, dtype=torch.int8, device=scores.device)
    if sink:
        first[:, 0] = 1
    if diagonal is not None:
        end = diagonal + torch.arange(T, device=scores.device)[:, None]
        first[at == end] = 2
        first[at > end] = -1
    if sink or diagonal is not None:
        again = first.expand(scores.shape).gather(-1, order).argsort(dim=-1, descending=True, stable=True)
        order = order.gather(-1, again)
    past = torch.arange(width, device=scores.device) >= count[:, None]
    listed = order[..., :width].masked_fill(past, n).sort(-1).values
    return listed.masked_fill(past, 0).int()
