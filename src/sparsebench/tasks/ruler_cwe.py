"""RULER's common words extraction: which words of a long list occur most often."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain, islice
from typing import Any, Literal

from sparsebench.errors import UserError
from sparsebench.tasks.answers import first_paragraph
from sparsebench.tasks.base import Positive, Sample, Score, Task
from sparsebench.tasks.draw import Draw, belongs
from sparsebench.tasks.recall import iou, recall
from sparsebench.tasks.vocabulary import listed_words, vocabulary
from sparsebench.tasks.window import Window, too_short

_BATCH = 512
_WORD = re.compile(r"[^\W\d_]{4,}")
_PREFIX = "The {n} most common words in the list are:"
_EXAMPLE_WORDS = ("violin", "garlic", "meadow", "thimble")
_EXAMPLE = (
    "Example list:\n1. violin 2. garlic 3. violin 4. meadow 5. garlic 6. violin 7. thimble 8. garlic\n"
    "Question: Which 2 words are the most common in the list? Answer: violin, garlic\n\n"
)


@lru_cache(maxsize=1)
def _numbers_tok(window: Window, most: int) -> list[int]:
    """Tokens of the numbers up to each, remembered for the next sample."""
    return list(accumulate(window.measure([f" {i}." for i in range(1, most + 1)])))


def _sized(window: Window, words: Iterator[str]) -> Iterator[tuple[str, int]]:
    """Words with their tokens in the list."""
    while batch := list(islice(words, _BATCH)):
        yield from zip(batch, window.sizes([f" {word}" for word in batch]), strict=True)


@dataclass(frozen=True)
class RulerCwe(Task):
    """Name the words that occur most often in a long numbered list.

    - Source: RULER (arXiv:2404.06654), section 3 "Aggregation" (CWE); word lists and wording are this project's.
    - Metric: recall, the share of the common words that occur in the answer, as RULER has it; ``match: iou`` is the
      study's intersection over union (arXiv:2504.17768), where more words cost: it reads the first paragraph, where
      the study has numbered lines in tags.
    - Chance: 0 for one who has not read the list.
    - Isolates: aggregation; every part of the context matters a little.
    - Length: the frequencies stay, the number of different rare words grows.
    - Departures: the worked example is short, where RULER shows a whole list of 40 words and a numbered answer; below
      4,096 tokens RULER lowers its frequencies to 6 and 1, which are parameters here. A list of more than about 1,000
      different words (from about 16K tokens on, at the default frequencies) has made-up ones among them; RULER's are
      all of a dictionary.

    Parameters
    ----------
    common, freq_common
        How many words are common, and how often each occurs.
    freq_rare
        How often each other word occurs (the last one added may occur less often, to fill the length).
    example
        Whether a worked example stands before the list.
    match
        ``recall`` (RULER) or ``iou`` (the study).
    answer_prefix
        First words of the answer; ``{n}`` is filled in.
    """

    name = "ruler_cwe"
    metric = "recall"
    minimum_tok = 2048
    source = "RULER, arXiv:2404.06654"
    scoring = ("match",)

    common: Positive = 10
    freq_common: Positive = 30
    freq_rare: Positive = 3
    example: bool = True
    match: Literal["recall", "iou"] = "recall"
    answer_prefix: str = _PREFIX

    def __post_init__(self) -> None:
        if self.freq_rare >= self.freq_common:
            raise UserError(f"freq_rare is {self.freq_rare}; allowed: less than freq_common ({self.freq_common})")

    def synthesise(self, draw: Draw, window: Window) -> Sample:
        """See :class:`Task`."""
        head = (
            "A numbered list of words follows. Some words occur often in it, the others seldom. "
            "Find those that occur most often.\n\n" + (_EXAMPLE if self.example else "") + "List:\n"
        )
        tail = f"\n\nQuestion: Which {self.common} words are the most common in the list?"
        prefix = self.answer_prefix.replace("{n}", str(self.common))
        room = window.room(head + tail, prefix)
        while True:
            stream = vocabulary(draw, without=frozenset(_EXAMPLE_WORDS) if self.example else frozenset())
            common = tuple(islice(stream, self.common))
            if belongs(draw, " ".join(sorted(common))):
                break
        entries = self._entries(window, room, common, stream)
        used = list(dict.fromkeys(entries))
        if not set(used) <= set(listed_words()):
            # Common words are as likely to be made-up ones as the others are: else the kind of word would tell them.
            while True:
                draw.shuffle(used)
                common = tuple(used[: self.common])
                if belongs(draw, " ".join(sorted(common))):
                    break
            entries = self._entries(window, room, common, chain(used[self.common :], stream))
        draw.shuffle(entries)
        context, evidence, wanted = [], [], set(common)
        length = len(head)
        for i, word in enumerate(entries, start=1):
            entry = f"{i}. {word} "
            if word in wanted:
                evidence.append(length)
            context.append(entry)
            length += len(entry)
        perfect = " " + ", ".join(common)
        return Sample(
            user=head + "".join(context).rstrip() + tail,
            answer_prefix=prefix,
            answers=common,
            evidence=tuple(evidence),
            max_new_tok=window.count(perfect) + 4 * self.common,
            perfect=perfect,
        )

    def _entries(self, window: Window, room: int, common: Sequence[str], others: Iterator[str]) -> list[str]:
        """The words of the list, not yet shuffled, as many as fit into ``room`` tokens with their numbers."""
        entries = list(common) * self.freq_common
        # An entry costs at least three tokens (digit, full stop, word), so these are more than enough.
        most = len(entries) + max(0, room) // 3
        number_tok = _numbers_tok(window, most)
        spent = self.freq_common * sum(window.measure([f" {word}" for word in common]))
        if spent + number_tok[len(entries) - 1] > room:
            raise too_short(self.name, window, window.length_tok + spent + number_tok[len(entries) - 1] - room)
        for word, size in _sized(window, others):
            repeats = 0
            while repeats < self.freq_rare and spent + size + number_tok[len(entries)] <= room:
                entries.append(word)
                spent += size
                repeats += 1
            if repeats < self.freq_rare:
                break
        return entries

    def metric_name(self) -> str:
        """``recall`` or ``iou``."""
        return self.match

    def score(self, prediction: str, answers: Sequence[str], meta: Mapping[str, Any]) -> Score:
        """Recall, or intersection over union with the words of four letters or more in the first paragraph.

        Parsing fails if there is no such word.
        """
        listed = _WORD.findall(first_paragraph(prediction).lower())
        value = recall(prediction, answers) if self.match == "recall" else iou(listed, answers)
        return Score(value, parse_failed=not _WORD.search(prediction))
