"""StreamingLLM: the first tokens and the newest ones, whatever they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sparsebench.counting import causal_pairs
from sparsebench.methods.base import Axes, DecodeMethod, Heads, Layer, PrefillMethod
from sparsebench.methods.budget import check_positive, tokens_kept
from sparsebench.methods.pick import ranked_tokens
from sparsebench.selection import LineSelection, TokenSelection

_IMPORTANCE = "fixed: first and newest tokens"
_SOURCE = "StreamingLLM, arXiv:2309.17453, section 3.2; code: mit-han-lab/streaming-llm"
_SHARE = "The window follows from the budget; the authors keep a fixed number of tokens."


@dataclass(frozen=True)
class StreamingPrefill(PrefillMethod):
    """Attention sinks and a sliding window (StreamingLLM, arXiv:2309.17453, section 3.2).

    Every query attends to the first ``sinks`` tokens of the prompt and to the nearest tokens before it. Nothing is
    estimated, so that it costs nothing to choose, and what lies between is never seen.

    Budget rule: all queries have the same window, the longest whose query-key pairs fit ``budget`` times the causal
    pairs together with those of the sinks; at least the query's own token. Sinks take half of the pairs at most: a
    smaller budget keeps fewer.

    Parameters
    ----------
    sinks
        Tokens at the start that every query attends to.
    """

    sinks: int = 4

    name: ClassVar[str] = "streaming_llm"
    title: ClassVar[str] = "StreamingLLM"
    axes: ClassVar[Axes] = Axes(unit="vertical/slash", importance=_IMPORTANCE, budget="uniform", cache="full")
    independent_heads: ClassVar[bool] = True
    source: ClassVar[str] = _SOURCE
    departures: ClassVar[tuple[str, ...]] = (
        _SHARE,
        "The mask is laid over the whole prompt at once (MInference's A-shape); the authors stream token by token.",
        "Tokens keep their positions; the authors number those in the cache anew at each step.",
        "All sinks are kept only while they take at most half of the budget; the authors keep all.",
    )

    def __post_init__(self) -> None:
        check_positive("streaming_llm: sinks", self.sinks)

    def select(self, q: Tensor, k: Tensor, budget: float, layer: Layer) -> LineSelection:
        """See :meth:`PrefillMethod.select`."""
        sinks = sinks_within(q.shape[2], self.sinks, budget)
        return LineSelection(*_first(sinks, q), *_first(window_within(q.shape[2], sinks, budget), q))

    def estimation_flops(self, length: int, shape: Heads) -> float:
        """See :meth:`PrefillMethod.estimation_flops`: none."""
        return 0.0


def _first(count: int, q: Tensor) -> tuple[Tensor, Tensor]:
    """The entries 0 .. count - 1 for every head (room for one at least), and their number."""
    B, H = q.shape[:2]
    entries = torch.arange(max(1, count), dtype=torch.int32, device=q.device).expand(B, H, -1)
    return entries, torch.full((B, H), count, dtype=torch.int32, device=q.device)


def sinks_within(length: int, sinks: int, budget: float) -> int:
    """As many of ``sinks`` first columns as take at most half of ``budget``."""
    room, count = budget * causal_pairs(length) / 2, 0
    while count < min(sinks, length) and (room := room - (length - count)) >= 0:
        count += 1
    return count


def window_within(length: int, sinks: int, budget: float) -> int:
    """The longest window, at least 1, whose pairs together with those of ``sinks`` columns fit ``budget``."""
    room = budget * causal_pairs(length)
    low, high = 1, length + 1
    while high - low > 1:
        window = (low + high) // 2
        beyond = length - window  # queries whose window does not reach the first token
        pairs = causal_pairs(length) - causal_pairs(beyond) + sum(max(0, beyond - j) for j in range(sinks))
        low, high = (window, high) if pairs <= room else (low, window)
    return low


@dataclass(frozen=True)
class StreamingDecode(DecodeMethod):
    """Attention sinks and the newest tokens of the prompt (StreamingLLM, arXiv:2309.17453, section 3.2).

    The first ``sinks`` tokens and the newest ones stay, all others are evicted after prefill, whatever they hold.

    Budget rule: every KV head keeps ``budget`` times the prompt's tokens (rounded, at least 1). Sinks take half of
    them at most: a smaller budget keeps fewer.

    Parameters
    ----------
    sinks
        Tokens at the start of the prompt that stay.
    """

    sinks: int = 4

    name: ClassVar[str] = "streaming_llm"
    title: ClassVar[str] = "StreamingLLM"
    axes: ClassVar[Axes] = Axes(unit="token", importance=_IMPORTANCE, budget="uniform", cache="evict")
    independent_heads: ClassVar[bool] = True
    source: ClassVar[str] = _SOURCE
    departures: ClassVar[tuple[str, ...]] = (
        _SHARE,
        "The prompt is read before anything is evicted, as in the authors' chat example; they also stream prompts.",
        "Generated tokens are always read; the authors' window moves on over them.",
        "Tokens keep their positions; the authors number those in the cache anew at each step.",
        "All sinks are kept only while they are at most half of what is kept; the authors keep all.",
    )
    fixed: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive("streaming_llm: sinks", self.sinks)

    def prepare(self, k: Tensor, q_window: Tensor, layer: Layer) -> Tensor:
        """A ranking [G, S] of the prompt's tokens: the newest, the first, the newest but one, the second, ..."""
        token = torch.arange(k.shape[1], device=k.device)
        newest = k.shape[1] - 1 - token
        place = newest + newest.clamp(max=self.sinks)
        return torch.where(token < self.sinks, place.minimum(2 * token + 1), place).argsort().expand(k.shape[0], -1)

    def select(self, state: Tensor, q: Tensor, budgets: Sequence[float]) -> TokenSelection:
        """See :meth:`DecodeMethod.select`."""
        return ranked_tokens(state, [tokens_kept(state.shape[1], budget) for budget in budgets])

    def preparation_flops(self, length: int, shape: Heads) -> float:
        """See :meth:`DecodeMethod.preparation_flops`: none."""
        return 0.0

    def metadata_bytes(self, length: int, shape: Heads, itemsize: int) -> float:
        """See :meth:`DecodeMethod.metadata_bytes`: none, what is kept is all there is."""
        return 0.0
