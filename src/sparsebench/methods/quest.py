"""Quest: pages of the KV cache, picked at every step by an upper bound of what they hold for the current query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsebench.kernels.softcap import capped
from sparsebench.methods.base import Axes, DecodeMethod, Layer
from sparsebench.methods.budget import check_block, pages_kept
from sparsebench.methods.pick import row_counts
from sparsebench.selection import TokenSelection


@dataclass(frozen=True)
class PageBounds:
    """State: length of the prompt, and the least and greatest key of each page and channel, float32 [G, P, D]."""

    length: int
    lowest: Tensor
    highest: Tensor
    layer: Layer


@dataclass(frozen=True)
class Quest(DecodeMethod):
    """Query-aware pages (Quest, arXiv:2406.10774, Algorithm 1).

    Each page of ``page`` keys keeps the least and the greatest value of every channel. For the current query, the sum
    over channels of ``max(q * least, q * greatest)`` bounds the logit of every key of the page from above; the pages
    with the highest bounds are read. The cache itself stays whole.

    Budget rule: per KV head and step, the last page of the prompt and as many others as bring the tokens read nearest
    to ``budget`` times the prompt's tokens (one more if that is less than half of it).

    Parameters
    ----------
    page
        Tokens per page: 16, 32, 64 or 128.
    """

    page: int = 16

    name: ClassVar[str] = "quest"
    title: ClassVar[str] = "Quest"
    axes: ClassVar[Axes] = Axes(unit="page", importance="token-to-page", budget="uniform", cache="full")
    source: ClassVar[str] = "Quest, arXiv:2406.10774, Algorithm 1; code: mit-han-lab/Quest"
    departures: ClassVar[tuple[str, ...]] = (
        "Under GQA the pages are picked per KV head by the bounds' softmax, summed over its query heads; the authors' "
        "code picks per query head.",
        "All layers are sparse; the authors leave the first two dense.",
        "Pages cover the prompt alone and generated tokens are always read; the authors page them too.",
    )

    def __post_init__(self) -> None:
        check_block("quest: page", self.page)

    def prepare(self, k: Tensor, q_window: Tensor, layer: Layer) -> PageBounds:
        """See :meth:`DecodeMethod.prepare`."""
        S = k.shape[1]
        # a short last page is filled with copies of its last key, which change neither bound
        filled = F.pad(k.float().transpose(1, 2), (0, -S % self.page), mode="replicate")
        pages = filled.transpose(1, 2).unflatten(1, (-1, self.page))
        return PageBounds(S, pages.amin(2), pages.amax(2), layer)

    def bounds(self, state: PageBounds, q: Tensor) -> Tensor:
        """Upper bounds of the logits of each page, float32 [R, G, H // G, P], for queries [R, H, D]."""
        G = state.lowest.shape[0]
        grouped = q.float().unflatten(1, (G, -1))
        bound = grouped.clamp(min=0) @ state.highest.transpose(1, 2) + grouped.clamp(max=0) @ state.lowest.transpose(
            1, 2
        )
        return capped(bound * state.layer.scale, state.layer.softcap)

    def select(self, state: PageBounds, q: Tensor, budgets: Sequence[float]) -> TokenSelection:
        """See :meth:`DecodeMethod.select`."""
        (R, G), P, S = (q.shape[0], state.lowest.shape[0]), state.lowest.shape[1], state.length
        scores = self.bounds(state, q).softmax(-1).sum(2)
        pages = [pages_kept(S, self.page, budget) for budget in budgets]
        best = scores[..., : P - 1].topk(max(pages), dim=-1).indices.int()
        within = torch.arange(self.page, dtype=torch.int32, device=q.device)
        start, last = (P - 1) * self.page, S - (P - 1) * self.page
        ending = torch.arange(start, S, dtype=torch.int32, device=q.device).expand(R, G, -1)
        tokens = torch.cat((ending, (best[..., None] * self.page + within).flatten(2)), -1)
        count = row_counts([last + n * self.page for n in pages], q.device).expand(R, G)
        return TokenSelection(tokens, count)
