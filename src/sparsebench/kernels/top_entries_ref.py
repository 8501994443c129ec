"""The greatest entries of each row, ascending by position, in plain torch: the oracle of the Triton kernel."""

from __future__ import annotations

import torch
from torch import Tensor


def top_entries(scores: Tensor, count: Tensor, width: int) -> Tensor:
    """Positions of the ``count`` greatest entries of each row; of equal entries the first come first.

    Parameters
    ----------
    scores
        float32 [..., n], no NaN.
    count
        int32, broadcast to scores' leading axes; 1 <= count <= width <= n.
    width
        Length of the lists.

    Returns
    -------
    int32 [..., width], ascending within the first ``count``; what lies past it is 0.
    """
    count = count.expand(scores.shape[:-1])
    order = scores.argsort(dim=-1, descending=True, stable=True)[..., :width]
    past = torch.arange(width, device=scores.device) >= count[..., None]
    listed = order.masked_fill(past, scores.shape[-1]).sort(-1).values
    return listed.masked_fill(past, 0).int()
