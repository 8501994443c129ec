"""What the engine is asked to compute: settings, and the rows of a fan-out."""

from __future__ import annotations

from dataclasses import dataclass

from sparsebench.methods.base import DecodeMethod, PrefillMethod


@dataclass(frozen=True)
class PrefillSetting:
    """A prefill method at a budget in (0, 1]."""

    method: PrefillMethod
    budget: float


@dataclass(frozen=True)
class DecodeSetting:
    """A decode method at a budget in (0, 1]."""

    method: DecodeMethod
    budget: float


@dataclass(frozen=True)
class Question:
    """A prompt as the engine gets it: token ids (at least 2), limits, and the sample's seed."""

    ids: tuple[int, ...]
    max_new_tok: int
    stop: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Job:
    """One prompt under one prefill setting, and all decode settings that fan out from it."""

    question: Question
    prefill: PrefillSetting
    decode: tuple[DecodeSetting, ...]


@dataclass(frozen=True)
class Answer:
    """What one row generated, and the densities that were measured while it did."""

    text: str
    ids: tuple[int, ...]
    stop_reason: str
    prefill_density: float
    decode_density: float
