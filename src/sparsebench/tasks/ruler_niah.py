"""RULER's needle in a haystack: all single-, multi-key, multi-value and multi-query variants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from sparsebench.errors import UserError
from sparsebench.tasks.base import Positive, Sample, Score, Task
from sparsebench.tasks.draw import Draw
from sparsebench.tasks.haystack import hide, noise, prose
from sparsebench.tasks.labels import NOUNS, SHAPES, Kind, Labels
from sparsebench.tasks.recall import recall
from sparsebench.tasks.window import Window

_PREFIX = "The {what} for {keys} found in the text {are}:"


@dataclass(frozen=True)
class RulerNiah(Task):
    """Find the values of given keys, hidden in a long text.

    - Source: RULER (arXiv:2404.06654), section 3 "Retrieval" and appendix B; wording and word lists are this project's.
    - Metric: recall, the share of gold values that occur in the answer.
    - Chance: 0; a value cannot be guessed (4.5 x 10^6 numbers, 2^127 codes, 54,000 word pairs: a half of all, the other
      is for training).
    - Isolates: exact retrieval by key. ``needles`` haystacks add interference: only the key tells needles apart.
    - Length: the haystack grows, the question stays; evidence depth is uniform.
    - Departures: hex codes have 4 x 8 digits, where RULER has UUIDs and the study (arXiv:2504.17768: ``haystack:
      needles, keys: 4, queries: 4``) letters too; word pairs are of fewer words than RULER's, so that those of
      ``needles`` share more of them; prose is made up, where RULER has essays; values may come in any order, as in
      RULER, where the study wants each beside its key.

    Parameters
    ----------
    haystack
        ``noise`` repeats five short sentences, ``prose`` never repeats one, ``needles`` is made of other needles.
    key_kind, value_kind
        ``hex`` (4 x 8 hex digits), ``word`` (adjective-noun), ``number`` (7 digits).
    keys
        Different keys hidden in the text; those not asked for are distractors.
    values
        Needles, each with another value, per key.
    queries
        Keys asked for, at most ``keys``.
    answer_prefix
        First words of the answer, given to the model; ``{what}``, ``{keys}`` and ``{are}`` are filled in.
    """

    name = "ruler_niah"
    metric = "recall"
    minimum_tok = 512
    source = "RULER, arXiv:2404.06654"

    haystack: Literal["noise", "prose", "needles"] = "prose"
    key_kind: Kind = "hex"
    value_kind: Kind = "hex"
    keys: Positive = 1
    values: Positive = 1
    queries: Positive = 1
    answer_prefix: str = _PREFIX

    def __post_init__(self) -> None:
        if self.queries > self.keys:
            raise UserError(f"queries is {self.queries}; allowed: at most keys ({self.keys})")

    def _needle(self, key: str, value: str) -> str:
        return f"The {NOUNS[self.value_kind]} for {key} is: {value}.\n"

    def _hay(self, draw: Draw, labels: Labels) -> Iterator[str]:
        if self.haystack == "noise":
            return noise()
        if self.haystack == "prose":
            return prose(draw)
        return iter(lambda: self._needle(labels.new(self.key_kind), labels.new(self.value_kind)), None)

    def ask(self, keys: Sequence[str]) -> tuple[str, str]:
        """The question for the values of ``keys``, and the answer prefix."""
        noun = NOUNS[self.value_kind]
        named = " and ".join([", ".join(keys[:-1]), keys[-1]]) if len(keys) > 1 else keys[0]
        if len(keys) * self.values > 1:
            question, order = f"What are all {noun}s", "Give every one of them, separated by commas."
            what, are = f"{noun}s", "are"
        else:
            question, order = f"What is the {noun}", f"Give the {noun} only."
            what, are = noun, "is"
        prefix = self.answer_prefix.replace("{what}", what).replace("{keys}", named).replace("{are}", are)
        return f"\n\n{question} for {named} found in the text? {order}", prefix

    def synthesise(self, draw: Draw, window: Window) -> Sample:
        """See :class:`Task`."""
        labels = Labels(draw)
        pairs = {
            labels.new(self.key_kind): [labels.new(self.value_kind) for _ in range(self.values)]
            for _ in range(self.keys)
        }
        asked = list(pairs)[: self.queries]
        answers = tuple(value for key in asked for value in pairs[key])
        noun = NOUNS[self.value_kind]
        head = f"A text follows in which {noun}s are hidden. Remember them: you will be asked afterwards.\n\n"
        tail, prefix = self.ask(asked)
        # Evidence first: the depths of a sample do not depend on how many distractor keys share the text.
        needles = [self._needle(key, value) for key, values in pairs.items() for value in values]
        depths = draw.depths(len(answers)) + [draw.random() for _ in range(len(needles) - len(answers))]
        user, places = hide(self.name, window, head, tail, prefix, self._hay(draw, labels), needles, depths)
        perfect = " " + ", ".join(answers)
        return Sample(
            user=user,
            answer_prefix=prefix,
            answers=answers,
            evidence=places[: len(answers)],
            max_new_tok=window.count(perfect) + 8 * len(answers),
            perfect=perfect,
            # A value holds no full stop; a list may be numbered ("1."), so only single answers end there. A blank line
            # ends nothing: some models begin with one.
            stop=(".",) if len(answers) == 1 else (),
            meta={"kind": self.value_kind},
        )

    def score(self, prediction: str, answers: Sequence[str], meta: Mapping[str, Any]) -> Score:
        """Recall; parsing fails if the text holds nothing of the values' shape."""
        value = recall(prediction, answers)
        return Score(value, parse_failed=value == 0 and not SHAPES[meta["kind"]].search(prediction))

    def guess(self, draw: Random, sample: Sample) -> str:
        """Random values of the right kind."""
        labels = Labels(draw)
        return " " + ", ".join(labels.new(self.value_kind) for _ in sample.answers)
