"""What a method is: four axes as data, and a rule that selects.

A method is a frozen dataclass: its fields are the parameters a config may set. It sees queries and keys after RoPE,
as the model's attention layer gets them, and returns a selection. It neither attends nor measures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from sparsebench.selection import DecodeSelection, PrefillSelection

Phase = Literal["prefill", "decode"]


@dataclass(frozen=True)
class Axes:
    """The four axes on which training-free methods differ (arXiv:2504.17768, section 2).

    ``unit`` of sparsification, ``importance`` estimation, ``budget`` allocation, KV-``cache`` handling.
    """

    unit: Literal["none", "block", "page", "vertical/slash", "token"]
    importance: str
    budget: str
    cache: Literal["full", "evict"]


@dataclass(frozen=True)
class Layer:
    """What a method may know of the layer it serves.

    Parameters
    ----------
    index
        Layer number.
    scale
        Factor on q . k before the softmax.
    softcap
        Logits become ``softcap * tanh(logits / softcap)`` when set (Gemma 2).
    seeds
        One integer per batch entry (prefill) or a single one (decode): the sample's own, so that a method that draws
        at random draws the same in any batch.
    impl
        Which implementation computes estimates and selects: ``triton`` kernels, or their torch ``reference``.
    """

    index: int
    scale: float
    softcap: float | None = None
    seeds: tuple[int, ...] = (0,)
    impl: Literal["triton", "reference"] = "reference"


@dataclass(frozen=True)
class Heads:
    """Attention of one layer as the cost of an estimate depends on it: query heads, KV heads, channels per head."""

    heads: int
    kv_heads: int
    head_dim: int


class Method(ABC):
    """Common part of both phases.

    Class attributes: ``name`` (as in config and charts), ``phase``, ``axes``, ``title`` (for charts and tables),
    ``source`` (paper and authors' code), ``departures`` (each difference from the authors' code, one sentence each).
    ``independent_heads``: what is selected for a KV head and its query heads depends on their own queries and keys
    alone. Then a model that is split over GPUs selects on each for its own heads; else all heads are brought together.
    """

    name: ClassVar[str]
    phase: ClassVar[Phase]
    title: ClassVar[str]
    axes: ClassVar[Axes]
    source: ClassVar[str]
    departures: ClassVar[tuple[str, ...]] = ()
    independent_heads: ClassVar[bool] = False

    @classmethod
    def unstated(cls) -> list[str]:
        """What a complete method states and this one does not: class attributes, methods, parameters."""
        missing = [need for need in ("name", "title", "axes", "source") if not hasattr(cls, need)]
        missing += sorted(cls.__abstractmethods__)
        return missing + ([] if is_dataclass(cls) else ["@dataclass(frozen=True)"])


class PrefillMethod(Method):
    """Computes less of the prompt's attention."""

    phase: ClassVar[Phase] = "prefill"

    @abstractmethod
    def select(self, q: Tensor, k: Tensor, budget: float, layer: Layer) -> PrefillSelection:
        """Choose what each query of the prompt attends to.

        Parameters
        ----------
        q
            [B, H, T, D] queries of the whole prompt.
        k
            [B, G, T, D] keys, not repeated: query head h reads KV head ``h // (H // G)``.
        budget
            Share of causal query-key pairs to keep, in (0, 1].
        """

    @abstractmethod
    def estimation_flops(self, length: int, shape: Heads) -> float:
        """FLOPs that choosing takes, for one prompt and layer: matrix products and sums over channels.

        Every method states it, else what it saves would be counted and what that takes would not.
        """


class DecodeMethod(Method):
    """Reads less of the prompt's KV cache per generated token.

    ``window``: how many of the last prompt queries ``prepare`` wants to see (0: none).
    ``fixed``: the selection does not depend on the current query; the engine asks once per prompt. Always true of
    methods that evict.
    """

    phase: ClassVar[Phase] = "decode"
    fixed: ClassVar[bool] = False
    window: int = 0

    @abstractmethod
    def prepare(self, k: Tensor, q_window: Tensor, layer: Layer) -> Any:
        """Build what selecting needs, once per prompt and layer, for all sparsities.

        Parameters
        ----------
        k
            [G, S, D] keys of the prompt.
        q_window
            [H, W, D] queries of the last W = min(window, S) prompt positions.
        """

    @abstractmethod
    def select(self, state: Any, q: Tensor, budgets: Sequence[float]) -> DecodeSelection:
        """Choose the prompt KV entries that each row reads at this step.

        Parameters
        ----------
        state
            What ``prepare`` returned.
        q
            [R, H, D] the current query of each row. Methods with ``fixed`` are asked before there is one: they get NaN,
            in which R, D, dtype and device alone mean anything.
        budgets
            R shares of the prompt's KV entries to keep, in (0, 1], one per row.
        """

    @abstractmethod
    def preparation_flops(self, length: int, shape: Heads) -> float:
        """FLOPs of :meth:`prepare`, for one prompt and layer."""

    @abstractmethod
    def metadata_bytes(self, length: int, shape: Heads, itemsize: int) -> float:
        """Bytes that choosing reads beside the chosen entries, for one row, step and layer.

        Parameters
        ----------
        itemsize
            Bytes of one channel of a key.
        """
