"""Quest: pages of the KV cache, picked at every step by an upper bound of what they hold for the current query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from sparsebench.methods.base import Axes, DecodeMethod, Heads, Layer
from sparsebench.methods.budget import check_block, pages_kept
from sparsebench.methods.pick import row_counts
from sparsebench.selection import TokenSelection


@dataclass(frozen=True)
class PageBounds:
    """State: the prompt's length, and least and greatest key of each page and channel, [G, P, D] in the keys' dtype."""

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
    independent_heads: ClassVar[bool] = True
    source: ClassVar[str] = "Quest, arXiv:2406.10774, Algorithm 1; code: mit-han-lab/Quest"
    departures: ClassVar[tuple[str, ...]] = (
        "Under GQA the pages are picked per KV head by the bounds' softmax, summed over its query heads; the authors' "
        "code picks per query head.",
        "All layers are sparse; the authors leave the first two dense.",
        "Pages cover the prompt alone and generated tokens are always read; the authors page them too.",
        "The prompt's last page is always read, and no least number of pages; the authors' evaluation reads 3 or more.",
        "Pages some 90 nats below the best for all query heads of a group count 0 each and go by position.",
    )

    def __post_init__(self) -> None:
        check_block("quest: page", self.page)

    def prepare(self, k: Tensor, q_window: Tensor, layer: Layer) -> PageBounds:
        """See :meth:`DecodeMethod.prepare`."""
        S = k.shape[1]
        # a short last page is filled with copies of its last key, which change neither bound
        filled = F.pad(k.transpose(1, 2), (0, -S % self.page), mode="replicate")
        pages = filled.transpose(1, 2).unflatten(1, (-1, self.page))
        return PageBounds(S, pages.amin(2), pages.amax(2), layer)

    def select(self, state: PageBounds, q: Tensor, budgets: Sequence[float]) -> TokenSelection:
        """See :meth:`DecodeMethod.select`."""
        if state.layer.impl == "triton":
            from sparsebench.kernels.page_tokens import page_tokens
        else:
            from sparsebench.kernels.page_tokens_ref import page_tokens
        (G, P, _), S = state.lowest.shape, state.length
        pages = [pages_kept(S, self.page, budget) for budget in budgets]
        tokens = page_tokens(
            q,
            state.lowest,
            state.highest,
            row_counts(pages, q.device)[:, 0],
            max(pages),
            page=self.page,
            length=S,
            scale=state.layer.scale,
            softcap=state.layer.softcap,
        )
        last = S - (P - 1) * self.page
        count = row_counts([last + n * self.page for n in pages], q.device).expand(-1, G)
        return TokenSelection(tokens, count)

    def preparation_flops(self, length: int, shape: Heads) -> float:
        """See :meth:`DecodeMethod.preparation_flops`: a comparison of each channel with both bounds."""
        return 2.0 * shape.kv_heads * length * shape.head_dim

    def metadata_bytes(self, length: int, shape: Heads, itemsize: int) -> float:
        """See :meth:`DecodeMethod.metadata_bytes`: both bounds of every page."""
        pages = -(-length // self.page)
        return 2.0 * shape.kv_heads * pages * shape.head_dim * itemsize
