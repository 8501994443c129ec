"""Keys and values of several prompts, laid end to end, one tensor a layer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from torch import Tensor


class PromptStore:
    """Shared KV cache of prompts of any lengths.

    Layer tensors are [G, N, D] with N the sum of all prompt lengths; prompt p owns positions ``span(p)``. They are
    allocated when a layer writes for the first time, since layers may differ in heads and head dim.

    Parameters
    ----------
    lengths
        Prompt lengths in tokens.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = tuple(lengths)
        ends = list(accumulate(self.lengths))
        self._spans = [(end - length, end) for end, length in zip(ends, self.lengths, strict=True)]
        self._total = ends[-1]
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def span(self, prompt: int) -> tuple[int, int]:
        """First position of the prompt, and the one after its last."""
        return self._spans[prompt]

    def write(self, layer: int, prompt: int, k: Tensor, v: Tensor) -> Tensor:
        """Copy a prompt's k, v [G, S, D] into its span; returns the stored keys, a view [G, S, D]."""
        if layer not in self._layers:
            heads, _, dim = k.shape
            shape = (heads, self._total, dim)
            self._layers[layer] = (k.new_empty(shape), v.new_empty((heads, self._total, v.shape[-1])))
        start, stop = self._spans[prompt]
        keys, values = self._layers[layer]
        keys[:, start:stop] = k
        values[:, start:stop] = v
        return keys[:, start:stop]

    def layer(self, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values [G, N, D] of all prompts."""
        return self._layers[layer]

    def layers(self) -> list[int]:
        """Layers written so far, ascending."""
        return sorted(self._layers)

    def replace(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Put other tensors in a layer's place (compaction); the old ones are freed."""
        self._layers[layer] = (k, v)

    def alias(self) -> PromptStore:
        """A store of the same tensors; replacing a layer of one leaves the other as it is."""
        other = PromptStore(self.lengths)
        other._layers = dict(self._layers)
        return other

    def tensors(self) -> list[Tensor]:
        """All keys and values held."""
        return [t for pair in self._layers.values() for t in pair]
