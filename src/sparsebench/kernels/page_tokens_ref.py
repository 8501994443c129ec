"""Tokens of the pages whose key bounds promise most for the current query, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsebench.kernels.softcap import capped


def page_bounds(q: Tensor, lowest: Tensor, highest: Tensor, scale: float, softcap: float | None = None) -> Tensor:
    """Upper bounds of the logits of each page, float32 [R, G, H // G, P], for queries [R, H, D]."""
    grouped = q.float().unflatten(1, (lowest.shape[0], -1))
    greatest = grouped.clamp(min=0) @ highest.float().transpose(1, 2)
    return capped((greatest + grouped.clamp(max=0) @ lowest.float().transpose(1, 2)) * scale, softcap)


def page_tokens(
    q: Tensor,
    lowest: Tensor,
    highest: Tensor,
    pages: Tensor,
    width: int,
    *,
    page: int,
    length: int,
    scale: float,
    softcap: float | None = None,
) -> Tensor:
    """Positions in the last page and in the best others, per row and KV head.

    A page's bound for a query is the sum over channels of ``max(q * lowest, q * highest)``, scaled and capped; a page's
    score is the softmax of the bounds over all pages, summed over the query heads of the KV head.

    Parameters
    ----------
    q
        [R, H, D].
    lowest, highest
        [G, P, D]: least and greatest key of each page and channel; the last page may be short.
    pages
        int32 [R]: how many pages each row reads beside the last one.
    width
        The greatest of ``pages``.
    page, length
        Tokens per page, and of all P pages together.

    Returns
    -------
    int32 [R, G, n] with n = tokens of the last page + width * page: the last page's tokens, then those of the chosen
    pages. Valid are the first ``tokens of the last page + pages * page`` of each row.
    """
    R, (G, P, _) = q.shape[0], lowest.shape
    scores = page_bounds(q, lowest, highest, scale, softcap).softmax(-1).sum(2)
    best = scores[..., : P - 1].topk(width, dim=-1).indices.int()
    within = torch.arange(page, dtype=torch.int32, device=q.device)
    ending = torch.arange((P - 1) * page, length, dtype=torch.int32, device=q.device).expand(R, G, -1)
    return torch.cat((ending, (best[..., None] * page + within).flatten(2)), -1)
