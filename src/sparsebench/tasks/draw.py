"""The randomness of one sample: stable across machines, evenly spread across samples."""

from __future__ import annotations

import hashlib
from random import Random
from zlib import crc32

_GOLDEN = 0.6180339887498949
"""Fractional part of the golden ratio: its multiples modulo 1 are the most even infinite sequence there is."""


def stable_seed(*parts: str | int) -> int:
    """A 63-bit integer from ``parts``, the same on every machine and in every process."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class Draw(Random):
    """Random numbers of one sample.

    Parameters
    ----------
    seed
        The sample's own seed: from task, parameters, seed, index, tokenizer and length.
    index
        Index of the sample; evidence depths are stratified by it.
    series
        Names the series of samples (task, parameters, seed). What is made of it and of the index, as :meth:`depths` is,
        does not depend on tokenizer or length, so that lengths compare the same questions.
    training
        Whether the sample is for training a model: see :func:`belongs`.
    """

    def __new__(cls, seed: int, index: int, series: str, training: bool = False) -> Draw:
        """Random's own constructor takes the seed alone."""
        return super().__new__(cls, seed)  # type: ignore[call-arg]

    def __init__(self, seed: int, index: int, series: str, training: bool = False) -> None:
        super().__init__(seed)
        self.training = training
        self.sample_seed = seed
        self.index = index
        self.series = series

    def depths(self, n: int) -> list[float]:
        """``n`` places in [0, 1), in random order; over the samples of a series they cover [0, 1) evenly."""
        start = stable_seed("depths", self.series) / 2**63
        places = [(start + (self.index * n + i) * _GOLDEN) % 1.0 for i in range(n)]
        self.shuffle(places)
        return places


def belongs(draw: Random, label: str) -> bool:
    """Whether ``label`` may occur in the sample of ``draw``: the benchmark and training never share one.

    What a sample asks for (keys, values, variables, names, items, sets of words) is split in two halves by a hash that
    is the same everywhere. The benchmark draws from one half only, training (:mod:`sparsebench.train`) from the other,
    so that no evaluation sample can be in the training data of the reference models, whatever the seeds are.
    """
    return crc32(label.encode()) & 1 == getattr(draw, "training", False)
