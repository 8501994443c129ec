"""Facts of given chapters of a long story."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparsebench.tasks.answers import holds_words
from sparsebench.tasks.base import Positive, Sample, Score, Task
from sparsebench.tasks.draw import Draw
from sparsebench.tasks.story import Story, epilogue, spread, starts, tell
from sparsebench.tasks.window import Window

_LINE = re.compile(r"^\W*(\d+)\s*[.):]\s*(.*\S)", re.MULTILINE)
_MOST_WORDS = 12

_QUESTIONS = {
    "town": "Which town did {who} reach in chapter {n}?",
    "person": "Whom did {who} meet in chapter {n}?",
    "item": "Which item did {who} buy in chapter {n}?",
}
KINDS = tuple(_QUESTIONS)
"""Facts of a chapter that may be asked for, fields of :class:`Chapter`."""


def ask(who: str, asked: Sequence[tuple[str, int]]) -> str:
    """Numbered questions for pairs (kind of fact, number of its chapter)."""
    lines = [f"{i}. {_QUESTIONS[kind].format(who=who, n=n)}" for i, (kind, n) in enumerate(asked, 1)]
    order = "Answer each question in one line with its number, by the name or item only."
    return "\n\nQuestions:\n" + "\n".join(lines) + f"\n{order}"


def answer(facts: Sequence[str]) -> str:
    """What follows the answer prefix ``1.`` when every question is answered in its line."""
    return "\n".join(f"{i}. {fact}" for i, fact in enumerate(facts, 1)).removeprefix("1.")


@dataclass(frozen=True)
class StoryRetrieval(Task):
    """Answer several short questions, each on one chapter.

    - Source: the study (arXiv:2504.17768), story retrieval; story, templates and words are this project's.
    - Metric: share of the questions answered, compared by normalised words.
    - Chance: 0; names and items are made up.
    - Isolates: finding several facts by chapter number in fluent text without a marked needle.
    - Length: chapters grow in number, each with towns, people and items of its own; the questions stay as many.
    - Departures: those of :mod:`sparsebench.tasks.story`. The answer may stand in a line of more words; the study's
      code wants it alone.

    Parameters
    ----------
    questions
        Questions per sample, on different chapters spread over the story.
    answer_prefix
        First words of the answer, given to the model.
    """

    name = "story_retrieval"
    metric = "answered"
    minimum_tok = 1024
    source = "The Sparse Frontier, arXiv:2504.17768"

    questions: Positive = 4
    answer_prefix: str = "1."

    def synthesise(self, draw: Draw, window: Window) -> Sample:
        """See :class:`Task`."""
        story = Story(draw)
        who = story.who
        asked = [draw.choice(KINDS) for _ in range(self.questions)]
        head = f"Read the story of {who}; questions on it follow.\n\n"
        room = window.room(head + ask(who, [(kind, 999) for kind in asked]), self.answer_prefix)
        chapters, left = tell(self.name, window, room, story.chapters(), self.questions)
        chosen = spread(draw.depths(self.questions), len(chapters))
        answers = tuple(getattr(chapters[i], kind) for i, kind in zip(chosen, asked, strict=True))
        offsets = starts(chapters, len(head))
        body = "".join(chapter.text for chapter in chapters) + epilogue(window, left - 4, story)
        perfect = answer(answers)
        return Sample(
            user=head
            + body.rstrip()
            + ask(who, [(kind, chapters[i].number) for kind, i in zip(asked, chosen, strict=True)]),
            answer_prefix=self.answer_prefix,
            answers=answers,
            evidence=tuple(offsets[i] for i in chosen),
            max_new_tok=window.count(perfect) + 8 * self.questions,
            perfect=perfect,
            stop=(f"\n{self.questions + 1}.",),
        )

    def score(self, prediction: str, answers: Sequence[str], meta: Mapping[str, Any]) -> Score:
        """Share of answers found in their numbered lines.

        Published format: lines ``2. Name``; the first line may lack its ``1.``, which the answer prefix gave. The first
        line of a number counts. Relaxed: without numbers, lines that are not blank count in order. A line of more than
        12 words is no answer.
        """
        text = prediction if re.match(r"\W*\d+\s*[.):]", prediction) else f"1. {prediction.lstrip()}"
        lines: dict[int, str] = {}
        for number, line in _LINE.findall(text):
            lines.setdefault(int(number), line)
        if len(lines) < 2 and not re.match(r"\W*\d", prediction):
            lines = dict(enumerate((line for line in prediction.splitlines() if line.strip()), start=1))
        right = sum(
            holds_words(lines.get(i, ""), answer) and len(lines[i].split()) <= _MOST_WORDS
            for i, answer in enumerate(answers, start=1)
        )
        return Score(right / len(answers), parse_failed=not prediction.strip())
