"""SnapKV: the last prompt queries vote for the KV entries that stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsebench.errors import UserError
from sparsebench.methods.base import Axes, DecodeMethod, Heads, Layer
from sparsebench.methods.budget import check_positive, tokens_kept
from sparsebench.methods.estimate import line_sums
from sparsebench.methods.pick import row_counts
from sparsebench.selection import TokenSelection

Pooling = Literal["max", "avg"]


def check_voting(name: str, window: int, kernel: int, pooling: str) -> None:
    """``UserError`` unless the parameters of :func:`voted_scores` make sense."""
    check_positive(f"{name}: window", window)
    if kernel < 1 or kernel % 2 == 0:
        raise UserError(f"{name}: kernel {kernel}; allowed: an odd number, 1 or more")
    if pooling not in ("max", "avg"):
        raise UserError(f"{name}: pooling {pooling!r}; allowed: 'max', 'avg'")


def voted_scores(k: Tensor, q_window: Tensor, kernel: int, pooling: Pooling, layer: Layer) -> Tensor:
    """Pooled votes for the prompt entries before the window.

    Parameters
    ----------
    k
        [G, S, D].
    q_window
        [H, W, D].

    Returns
    -------
    float32 [G, S - W]: attention weights summed over the window's queries, pooled over ``kernel`` neighbouring
    positions, averaged over the query heads of each KV head.
    """
    G, S = k.shape[:2]
    H, W = q_window.shape[:2]
    votes = line_sums(q_window[None], k[None], layer)[0][0, :, : S - W]
    if S > W:
        pool = F.max_pool1d if pooling == "max" else F.avg_pool1d
        votes = pool(votes, kernel, stride=1, padding=kernel // 2)
    return votes.view(G, H // G, S - W).mean(1)


def kept_window(length: int, window: int, kept: int) -> int:
    """How many of the last ``window`` entries stay when ``kept`` of ``length`` entries do.

    All of them, but at most half of what is kept, so that a small budget leaves room for voted entries.
    """
    return min(window, max((kept + 1) // 2, kept - (length - window)))


def window_then_ranked(window: Tensor, order: Tensor, length: int, width: int) -> Tensor:
    """Lists that begin with a row's window and go on with the best voted entries.

    Parameters
    ----------
    window
        int32 [R, 1]: entries of the window that each row keeps.
    order
        [G, C]: voted entries, best first.
    width
        Length of the lists.

    Returns
    -------
    int32 [R, G, width].
    """
    place = torch.arange(width, dtype=torch.int32, device=order.device)
    if not order.shape[1]:
        return (length - 1 - place).expand(window.shape[0], order.shape[0], width)
    voted = order.int()[:, (place - window).clamp(0, order.shape[1] - 1)].transpose(0, 1)
    return torch.where(place < window[:, None], length - 1 - place, voted)


@dataclass(frozen=True)
class Votes:
    """State: length of the prompt, queries in the window, and the voted entries [G, S - W], best first."""

    length: int
    window: int
    order: Tensor


@dataclass(frozen=True)
class SnapKV(DecodeMethod):
    """Tokens voted for by the last prompt queries (SnapKV, arXiv:2404.14469, section 4, Listing 1).

    The attention of the last ``window`` prompt queries is summed per key, pooled over ``kernel`` neighbouring
    positions, and the best tokens are kept per KV head, together with the window itself. The rest is evicted after
    prefill.

    Budget rule: every KV head of every layer keeps ``budget`` times the prompt's tokens (rounded, at least 1), the
    window among them. A budget below twice the window keeps only its own half of the window, the newest tokens.

    Parameters
    ----------
    window
        Prompt queries that vote, and tokens at the end of the prompt that stay.
    kernel
        Positions pooled over, odd.
    pooling
        ``max`` or ``avg``.
    """

    window: int = 32
    kernel: int = 7
    pooling: Pooling = "max"

    name: ClassVar[str] = "snapkv"
    title: ClassVar[str] = "SnapKV"
    axes: ClassVar[Axes] = Axes(unit="token", importance="global-to-token", budget="uniform", cache="evict")
    independent_heads: ClassVar[bool] = True
    source: ClassVar[str] = "SnapKV, arXiv:2404.14469, Listing 1; code: FasterDecoding/SnapKV"
    departures: ClassVar[tuple[str, ...]] = (
        "Maxima over 7 positions, as the authors evaluate; their code averages over 5 unless told otherwise.",
        "Under GQA the votes of a group's query heads are averaged; the authors keep tokens per query head.",
        "The budget is a share of the prompt; the authors keep a fixed number of tokens.",
        "A budget below twice the window keeps only half of it from the window; the authors always keep the window.",
        "The last prompt token is processed in decode mode, so the window ends one token before the prompt's end.",
    )
    fixed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_voting("snapkv", self.window, self.kernel, self.pooling)

    def prepare(self, k: Tensor, q_window: Tensor, layer: Layer) -> Votes:
        """See :meth:`DecodeMethod.prepare`."""
        scores = voted_scores(k, q_window, self.kernel, self.pooling, layer)
        return Votes(k.shape[1], q_window.shape[1], scores.argsort(dim=-1, descending=True, stable=True))

    def select(self, state: Votes, q: Tensor, budgets: Sequence[float]) -> TokenSelection:
        """See :meth:`DecodeMethod.select`."""
        kept = [tokens_kept(state.length, budget) for budget in budgets]
        window = row_counts([kept_window(state.length, state.window, n) for n in kept], state.order.device)
        tokens = window_then_ranked(window, state.order, state.length, max(kept))
        count = row_counts(kept, state.order.device).expand(-1, state.order.shape[0])
        return TokenSelection(tokens, count)

    def preparation_flops(self, length: int, shape: Heads) -> float:
        """See :meth:`DecodeMethod.preparation_flops`: the window's logits."""
        return 2.0 * shape.heads * min(self.window, length) * length * shape.head_dim

    def metadata_bytes(self, length: int, shape: Heads, itemsize: int) -> float:
        """See :meth:`DecodeMethod.metadata_bytes`: none, what is kept is all there is."""
        return 0.0
