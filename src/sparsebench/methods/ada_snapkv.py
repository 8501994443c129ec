"""Ada-SnapKV: SnapKV's votes, with the budget of a layer shared among its heads by need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sparsebench.errors import UserError
from sparsebench.methods.base import Axes, DecodeMethod, Heads, Layer
from sparsebench.methods.budget import tokens_kept
from sparsebench.methods.pick import row_counts
from sparsebench.methods.snapkv import Pooling, check_voting, kept_window, voted_scores, window_then_ranked
from sparsebench.selection import TokenSelection


@dataclass(frozen=True)
class SharedVotes:
    """State: as that of SnapKV, and the KV head of every voted entry of the layer, best first."""

    length: int
    window: int
    order: Tensor
    heads: Tensor


@dataclass(frozen=True)
class AdaSnapKV(DecodeMethod):
    """SnapKV with a budget that adapts to the heads (Ada-KV, arXiv:2407.11550, Algorithms 1 and 2).

    The layer's voted entries of all KV heads are ranked together; a head's share is how many of its entries are among
    the best. Each head keeps at least ``floor`` of the uniform share (the safeguard); the rest is divided in
    proportion to those numbers.

    Budget rule: the KV heads of a layer together keep as many tokens as SnapKV's would: KV heads times ``budget``
    times the prompt's tokens (rounded, at least 1), each head's window among them. The mean over heads meets the
    budget exactly.

    Parameters
    ----------
    window, kernel, pooling
        As for SnapKV.
    floor
        Share of the uniform budget that no head falls below.
    """

    window: int = 32
    kernel: int = 7
    pooling: Pooling = "max"
    floor: float = 0.2

    name: ClassVar[str] = "ada_snapkv"
    title: ClassVar[str] = "Ada-SnapKV"
    axes: ClassVar[Axes] = Axes(unit="token", importance="global-to-token", budget="adaptive per head", cache="evict")
    source: ClassVar[str] = "Ada-KV, arXiv:2407.11550, Algorithms 1 and 2; code: FFY0/AdaKV"
    departures: ClassVar[tuple[str, ...]] = (
        "Under GQA votes are pooled per query head, then averaged over the group; the authors average first.",
        "The budget is a share of the prompt; the authors keep a fixed mean number of tokens per head.",
        "Shares are rounded so that they sum to the budget; the authors round each head alone.",
        "A budget below twice the window keeps only half of it from the window; the authors always keep the window.",
        "The last prompt token is processed in decode mode, so the window ends one token before the prompt's end.",
    )
    fixed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_voting("ada_snapkv", self.window, self.kernel, self.pooling)
        if not 0 <= self.floor <= 1:
            raise UserError(f"ada_snapkv: floor {self.floor}; allowed: 0 to 1")

    def prepare(self, k: Tensor, q_window: Tensor, layer: Layer) -> SharedVotes:
        """See :meth:`DecodeMethod.prepare`."""
        scores = voted_scores(k, q_window, self.kernel, self.pooling, layer)
        order = scores.argsort(dim=-1, descending=True, stable=True)
        pooled = scores.flatten().argsort(descending=True, stable=True)
        return SharedVotes(k.shape[1], q_window.shape[1], order, pooled // max(1, scores.shape[1]))

    def select(self, state: SharedVotes, q: Tensor, budgets: Sequence[float]) -> TokenSelection:
        """See :meth:`DecodeMethod.select`."""
        device, G = state.order.device, state.order.shape[0]
        kept = [tokens_kept(state.length, budget) for budget in budgets]
        windows = [kept_window(state.length, state.window, n) for n in kept]
        voted = [n - w for n, w in zip(kept, windows, strict=True)]
        floors = [int(self.floor * n) for n in voted]
        count = row_counts(windows, device) + self._shares(state.heads, G, voted, floors)
        # a head can get at most all that its neighbours leave above their floors
        widest = [
            w + min(state.order.shape[1], G * n - (G - 1) * f) for w, n, f in zip(windows, voted, floors, strict=True)
        ]
        tokens = window_then_ranked(row_counts(windows, device), state.order, state.length, max(widest))
        return TokenSelection(tokens, count)

    def _shares(self, heads: Tensor, G: int, voted: Sequence[int], floors: Sequence[int]) -> Tensor:
        """Voted entries that each head keeps, int32 [R, G]; each row sums to G times its number in ``voted``."""
        best = torch.zeros(G, heads.shape[0] + 1, dtype=torch.int32, device=heads.device)
        best[:, 1:] = (heads == torch.arange(G, device=heads.device)[:, None]).cumsum(-1)
        uniform, floor = row_counts(voted, heads.device), row_counts(floors, heads.device)
        among_best = best[:, (G * uniform[:, 0]).long()].T
        # rounding the running sum, not each share, keeps the total
        running = among_best.cumsum(-1) * (uniform - floor) / uniform.clamp(min=1)
        rounded = (running + 0.5).floor().int()
        return floor + torch.cat((rounded[:, :1], rounded.diff(dim=-1)), dim=-1)

    def preparation_flops(self, length: int, shape: Heads) -> float:
        """See :meth:`DecodeMethod.preparation_flops`: the window's logits."""
        return 2.0 * shape.heads * min(self.window, length) * length * shape.head_dim

    def metadata_bytes(self, length: int, shape: Heads, itemsize: int) -> float:
        """See :meth:`DecodeMethod.metadata_bytes`: none, what is kept is all there is."""
        return 0.0
