"""What a method is: four axes as data, and a rule that selects.

A method is a frozen dataclass: its fields are the parameters a config may set. It sees queries and keys after RoPE,
as the model's attention layer gets them, and returns a selection. It neither attends nor measures.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
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


class Method(ABC):
    """Common part of both phases.

    Class attributes: ``name`` (as in config and charts), ``phase``, ``axes``, ``title`` (for charts and tables),
    ``source`` (paper and authors' code), ``departures`` (each difference from the authors' code, one sentence each).
    """

    name: ClassVar[str]
    phase: ClassVar[Phase]
    title: ClassVar[str]
    axes: ClassVar[Axes]
    source: ClassVar[str]
    departures: ClassVar[tuple[str, ...]] = ()


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
            [R, H, D] the current query of each row; methods with ``fixed`` must not read its values.
        budgets
            R shares of the prompt's KV entries to keep, in (0, 1], one per row.
        """
