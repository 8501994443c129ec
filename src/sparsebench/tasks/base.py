"""What a task is: it synthesises samples for a tokenizer and scores what a model answered.

A task is a frozen dataclass: its fields are the parameters a config may set.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from sparsebench.tasks.draw import Draw
from sparsebench.tasks.window import Window

Positive = Annotated[int, Field(ge=1)]
"""An integer parameter of at least 1."""

Count = Annotated[int, Field(ge=0)]
"""An integer parameter of at least 0."""


@dataclass(frozen=True)
class Sample:
    """One question over one long context, before the chat template.

    Parameters
    ----------
    user
        The user's message: instruction, context, question.
    answer_prefix
        The assistant's first words, given to the model ("" for none).
    answers
        Gold answers as the scorer reads them.
    evidence
        Character offsets into ``user`` where the evidence begins.
    max_new_tok
        Limit of generated tokens.
    stop
        Strings that end the answer.
    meta
        What else the scorer needs; JSON types only.
    perfect
        What a perfect model would write after the prompt, in the published format.
    """

    user: str
    answer_prefix: str
    answers: tuple[str, ...]
    evidence: tuple[int, ...]
    max_new_tok: int
    perfect: str
    stop: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """``value`` in [0, 1]; ``parse_failed`` says that no answer could be found in the text."""

    value: float
    parse_failed: bool = False


class Task(ABC):
    """One task, as a frozen dataclass.

    Class attributes: ``name`` (as in the config), ``metric`` (its name), ``chance`` (score of a guesser who knows the
    format but not the context, at the shortest length if samples differ), ``minimum_tok`` (shortest length at default
    parameters, tokens of a common tokenizer), ``source`` (where the task is published), ``scoring`` (parameters that
    :meth:`score` alone looks at: whatever they are, the samples are the same).
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: ClassVar[str]
    metric: ClassVar[str]
    chance: ClassVar[float] = 0.0
    minimum_tok: ClassVar[int]
    source: ClassVar[str]
    scoring: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def synthesise(self, draw: Draw, window: Window) -> Sample:
        """Make one sample whose whole prompt fills 95-100 % of ``window.length_tok``.

        Depends only on ``draw``, the parameters and the window's tokenizer and length. Raises ``UserError`` naming the
        minimum if the length is too short for the task.
        """

    @abstractmethod
    def score(self, prediction: str, answers: Sequence[str], meta: Mapping[str, Any]) -> Score:
        """Score the text generated after the prompt (the answer prefix is not part of it)."""

    def files(self) -> tuple[str, ...]:
        """Paths of the files that synthesis reads, relative to the working directory: corpora that must be fetched."""
        return ()

    def metric_name(self) -> str:
        """Name of the metric with the parameters at hand."""
        return self.metric

    def chance_of(self, answers: Sequence[str], meta: Mapping[str, Any]) -> float:
        """Score of a guesser on one sample; :attr:`chance` unless samples differ in it."""
        return self.chance

    def guess(self, draw: Random, sample: Sample) -> str:
        """Answer as one who knows the format but has not read the context: scores :meth:`chance_of` on average."""
        return ""
