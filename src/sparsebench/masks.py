"""From lists of indices with counts to masks, and back."""

from __future__ import annotations

import torch
from torch import Tensor


def members(indices: Tensor, count: Tensor, size: int) -> Tensor:
    """Boolean [..., size]: which of 0 .. size - 1 are among the first ``count`` [...] of ``indices`` [..., n]."""
    valid = torch.arange(indices.shape[-1], device=indices.device) < count[..., None]
    marks = torch.zeros(*count.shape, size + 1, dtype=torch.bool, device=indices.device)
    # entries past `count` may hold anything: they all land in the extra last place
    marks.scatter_(-1, torch.where(valid, indices, size).long(), True)
    return marks[..., :size]


def listed(mask: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Ascending positions of the members of each last-axis mask.

    Parameters
    ----------
    mask
        Boolean [..., n], at most ``width`` of them true.

    Returns
    -------
    int32 [..., width] and int32 [...]; entries past the count are 0.
    """
    place = torch.where(mask, mask.cumsum(-1, dtype=torch.int32) - 1, width).long()
    index = torch.arange(mask.shape[-1], dtype=torch.int32, device=mask.device).expand(mask.shape)
    out = index.new_zeros(*mask.shape[:-1], width + 1)
    out.scatter_(-1, place, index)
    return out[..., :width].contiguous(), mask.sum(-1, dtype=torch.int32)


def bounded(logits: Tensor, bound: Tensor, out: Tensor | None = None) -> Tensor:
    """The lesser of logits and bounds, the bound where a logit is NaN: minus infinity masks, infinity leaves alone.

    What no query selects may be NaN. Where nothing is, a minimum says the same several times as fast on a CPU.
    """
    least = torch.minimum if bool(logits.sum().isfinite()) else torch.fmin
    return least(logits, bound, out=out)
