"""What the traveller of a long story bought just before something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Annotated, Any

from pydantic import Field

from sparsebench.tasks.answers import first_line, holds_words, normalise
from sparsebench.tasks.base import Sample, Score, Task
from sparsebench.tasks.draw import Draw
from sparsebench.tasks.story import Story, epilogue, starts, tell
from sparsebench.tasks.window import Window
from sparsebench.tasks.words import words

_MOST_WORDS = 25


@dataclass(frozen=True)
class StoryMultihop(Task):
    """Name the item bought directly before a given one.

    - Source: the study (arXiv:2504.17768), story multi-hop; story, templates and words are this project's.
    - Metric: 1 if the item is named, 0 otherwise, compared by normalised words.
    - Chance: 0 for one who has not read the story.
    - Isolates: finding a passage by its item, then searching backwards over chapters without a purchase.
    - Length: chapters grow in number; the distance between the two purchases stays short.
    - Departures: those of :mod:`sparsebench.tasks.story`. The item may stand in a line of more words, and no answer is
      a wrong one; the study's code wants the item alone, and leaves samples without an answer out of the mean.

    Parameters
    ----------
    buying
        Share of the chapters in which something is bought.
    answer_prefix
        First words of the answer, given to the model; ``{who}`` and ``{item}`` are filled in.
    """

    name = "story_multihop"
    metric = "named"
    minimum_tok = 1024
    source = "The Sparse Frontier, arXiv:2504.17768"

    buying: Annotated[float, Field(gt=0, le=1)] = 0.6
    answer_prefix: str = "Directly before the {item}, {who} bought the"

    def ask(self, who: str, item: str) -> tuple[str, str]:
        """The question for what ``who`` bought before ``item``, and the answer prefix."""
        question = f"\n\nQuestion: Which item did {who} buy directly before buying the {item}? Name that item only."
        return question, self.answer_prefix.replace("{who}", who).replace("{item}", item)

    def synthesise(self, draw: Draw, window: Window) -> Sample:
        """See :class:`Task`."""
        story = Story(draw)
        who = story.who
        head = f"Read the story of {who}; a question on it follows.\n\n"
        tail, prefix = self.ask(who, "{item}")
        # The item is known only when the story is told: keep room for two long words, twice.
        room = window.room(head + tail, prefix, reserve=10)
        # In the first two chapters something is bought.
        chapters, left = tell(self.name, window, room, story.chapters(self.buying), 2)
        bought = [i for i, chapter in enumerate(chapters) if chapter.item]
        hops = list(pairwise(bought))
        first, second = hops[int(draw.depths(1)[0] * len(hops))]
        answer, item = chapters[first].item, chapters[second].item
        offsets = starts(chapters, len(head))
        body = "".join(chapter.text for chapter in chapters) + epilogue(window, left - 4, story)
        perfect = f" {answer}"
        return Sample(
            user=head + body.rstrip() + tail.replace("{item}", item),
            answer_prefix=prefix.replace("{item}", item),
            answers=(answer,),
            evidence=(offsets[first], offsets[second]),
            max_new_tok=window.count(perfect) + 10,
            perfect=perfect,
            stop=(".", ","),
            meta={"asked": item},
        )

    def score(self, prediction: str, answers: Sequence[str], meta: Mapping[str, Any]) -> Score:
        """1 if the first line that is not blank names the item.

        Relaxed: the line may repeat the item asked about; it may not be longer than 25 words, which would be a list.
        """
        said = normalise(first_line(prediction))
        # The dots keep the words around it apart, which may be those of the answer.
        line = f" {said} ".replace(f" {normalise(meta['asked'])} ", " … ")
        right = holds_words(line, answers[0]) and len(line.split()) <= _MOST_WORDS
        return Score(float(right), parse_failed=not said)

    def guess(self, draw: Random, sample: Sample) -> str:
        """A random item."""
        return f" {draw.choice(words('adjectives'))} {draw.choice(words('nouns'))}"
