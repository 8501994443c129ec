"""RULER's frequent words extraction: the most frequent words of a coded text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from random import Random
from typing import Annotated, Any

from pydantic import Field

from sparsebench.tasks.base import Sample, Score, Task
from sparsebench.tasks.draw import Draw
from sparsebench.tasks.recall import recall
from sparsebench.tasks.window import Window, too_short

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_NOISE = "..."
_ASKED = 3
_PREFIX = "The three most frequent words in the coded text are:"


@cache
def _zipf(alpha: float, ranks: int) -> list[float]:
    """Share of each rank, falling."""
    weights = [rank**-alpha for rank in range(1, ranks + 1)]
    whole = sum(weights)
    return [weight / whole for weight in weights]


@dataclass(frozen=True)
class RulerFwe(Task):
    """Name the three words that occur most often in a text of made-up words with Zipf frequencies.

    - Source: RULER (arXiv:2404.06654), section 3 "Aggregation" (FWE); wording is this project's.
    - Metric: recall, the share of the three words that occur in the answer.
    - Chance: 0; words are six random letters.
    - Isolates: aggregation where frequencies differ by degrees instead of in two classes.
    - Length: all frequencies grow alike, so their ratios stay.

    As in RULER the most frequent word of all is the noise "...", which does not count.

    Parameters
    ----------
    alpha
        Exponent of the Zipf distribution: the word of rank k occurs in proportion to k^-alpha. Larger is easier.
    vocabulary
        Ranks over which the distribution is spread; those expected less than once do not occur.
    answer_prefix
        First words of the answer, given to the model.
    """

    name = "ruler_fwe"
    metric = "recall"
    minimum_tok = 512
    source = "RULER, arXiv:2404.06654"

    alpha: Annotated[float, Field(gt=1.0, le=4.0)] = 2.0
    vocabulary: Annotated[int, Field(ge=10, le=5000)] = 2000
    answer_prefix: str = _PREFIX

    def _counts(self, total: int) -> list[int]:
        shares = _zipf(self.alpha, self.vocabulary)
        return [int(total * share) for share in takewhile(lambda share: total * share >= 1, shares)]

    def synthesise(self, draw: Draw, window: Window) -> Sample:
        """See :class:`Task`."""
        head = (
            "A coded text follows. Keep track of how often each coded word occurs in it; "
            "three dots are no word.\n\nCoded text: "
        )
        tail = "\n\nQuestion: Which three coded words are the most frequent in the text?"
        given = window.room(head + tail, self.answer_prefix)
        room = max(0, given)
        words: dict[str, None] = {_NOISE: None}
        # Each occurrence takes at least a token, so that no more ranks than these can occur.
        while len(words) < max(8, len(self._counts(room))):
            words["".join(draw.choices(_LETTERS, k=6))] = None
        names = list(words)
        sizes = window.measure([f" {word}" for word in names])
        low, high = 0, room
        while low < high:
            middle = (low + high + 1) // 2
            spent = sum(count * size for count, size in zip(self._counts(middle), sizes, strict=False))
            low, high = (middle, high) if spent <= room else (low, middle - 1)
        counts = self._counts(low)
        if len(counts) < 5 or counts[3] <= counts[4]:
            raise too_short(self.name, window, window.length_tok - given + self._least(sizes))
        spent = sum(count * size for count, size in zip(counts, sizes, strict=False))
        counts[0] += (room - spent) // sizes[0]
        entries = [name for name, count in zip(names, counts, strict=False) for _ in range(count)]
        draw.shuffle(entries)
        answers = tuple(names[1 : 1 + _ASKED])
        length, evidence = len(head), []
        for entry in entries:
            if entry in answers:
                evidence.append(length)
            length += len(entry) + 1
        perfect = " " + ", ".join(answers)
        return Sample(
            user=head + " ".join(entries) + tail,
            answer_prefix=self.answer_prefix,
            answers=answers,
            evidence=tuple(evidence),
            max_new_tok=window.count(perfect) + 4 * _ASKED,
            perfect=perfect,
        )

    def _least(self, sizes: Sequence[int]) -> int:
        total = 1
        while len(counts := self._counts(total)) < 5 or counts[3] <= counts[4]:
            total += 1
        # Words of other samples may have more tokens than the frequent ones of this.
        return counts[0] * sizes[0] + sum(counts[1:]) * max(sizes)

    def score(self, prediction: str, answers: Sequence[str], meta: Mapping[str, Any]) -> Score:
        """Recall; parsing fails if the text holds no word of six letters."""
        found = re.search(r"(?<![a-z])[a-z]{6}(?![a-z])", prediction, re.IGNORECASE)
        return Score(recall(prediction, answers), parse_failed=not found)

    def guess(self, draw: Random, sample: Sample) -> str:
        """Random words of six letters."""
        return " " + ", ".join("".join(draw.choices(_LETTERS, k=6)) for _ in sample.answers)
