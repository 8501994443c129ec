"""Chapters of a long story in which nothing was bought."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from random import Random
from typing import Any, ClassVar

from sparsebench.tasks.base import Positive, Sample, Score, Task
from sparsebench.tasks.draw import Draw
from sparsebench.tasks.recall import iou
from sparsebench.tasks.story import Story, epilogue, spread, starts, tell
from sparsebench.tasks.window import Window


@dataclass(frozen=True)
class StoryFiltering(Task):
    """List the chapters without a purchase.

    - Source: the study (arXiv:2504.17768), story filtering; story, templates and words are this project's.
    - Metric: intersection over union of the listed and the true chapters.
    - Chance: that of random chapters, as many as are asked for: about 0.3 at 1K, falling as 1 / length.
    - Isolates: going through the whole context for what is told of few chapters.
    - Length: chapters grow in number; those without a purchase stay as many.
    - Departures: those of :mod:`sparsebench.tasks.story`. A chapter without a purchase tells of an item that was looked
      at and left, which can be searched for; the study's tell nothing, as those of ``story_absence``.

    Parameters
    ----------
    empty
        Chapters without a purchase.
    answer_prefix
        First words of the answer, given to the model; ``{n}`` and ``{who}`` are filled in.
    """

    name = "story_filtering"
    metric = "iou"
    chance = 0.3
    minimum_tok = 1024
    source = "The Sparse Frontier, arXiv:2504.17768"
    looks: ClassVar[bool] = True

    empty: Positive = 3
    answer_prefix: str = "The {n} chapters in which {who} bought nothing are chapters"

    def synthesise(self, draw: Draw, window: Window) -> Sample:
        """See :class:`Task`."""
        story = Story(draw)
        who = story.who
        head = f"Read the story of {who}; a question on it follows.\n\n"
        tail = (
            f"\n\nQuestion: In all chapters but {self.empty} {who} bought something. In which {self.empty} was nothing "
            "bought? Selling does not count. Answer with the numbers of these chapters, separated by commas."
        )
        prefix = self.answer_prefix.replace("{n}", str(self.empty)).replace("{who}", who)
        # Chapters change a little when their purchase is taken out, after they have been counted.
        room = window.room(head + tail, prefix, reserve=4 * self.empty)
        chapters, left = tell(self.name, window, room, story.chapters(), self.empty + 1)
        chosen = sorted(spread(draw.depths(self.empty), len(chapters)))
        for i in chosen:
            changed = story.without_purchase(chapters[i], self.looks)
            left += window.count(chapters[i].text) - window.count(changed.text)
            chapters[i] = changed
        answers = tuple(str(chapters[i].number) for i in chosen)
        offsets = starts(chapters, len(head))
        body = "".join(chapter.text for chapter in chapters) + epilogue(window, left - 4, story)
        perfect = " " + ", ".join(answers)
        return Sample(
            user=head + body.rstrip() + tail,
            answer_prefix=prefix,
            answers=answers,
            evidence=tuple(offsets[i] for i in chosen),
            max_new_tok=window.count(perfect) + 8,
            perfect=perfect,
            stop=(".",),
            meta={"chapters": len(chapters)},
        )

    def score(self, prediction: str, answers: Sequence[str], meta: Mapping[str, Any]) -> Score:
        """Intersection over union of all whole numbers in the text and the gold ones; fails without a number."""
        listed = {int(number) for number in re.findall(r"(?<![\w.])\d{1,9}(?!\w)", prediction)}
        gold = {int(answer) for answer in answers}
        return Score(iou(listed, gold), parse_failed=not listed)

    def chance_of(self, answers: Sequence[str], meta: Mapping[str, Any]) -> float:
        """Mean intersection over union of as many random chapters."""
        n, k = meta["chapters"], len(answers)
        ways = {hit: comb(k, hit) * comb(n - k, k - hit) for hit in range(k + 1)}
        return sum(way * hit / (2 * k - hit) for hit, way in ways.items()) / comb(n, k)

    def guess(self, draw: Random, sample: Sample) -> str:
        """As many random chapters as are asked for."""
        numbers = draw.sample(range(1, sample.meta["chapters"] + 1), len(sample.answers))
        return " " + ", ".join(str(number) for number in numbers)
