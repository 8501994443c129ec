"""What stands beside the documents that a question is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from sparsebench.corpora.formats import Question, read_corpus, shipped
from sparsebench.synthesis import draw_of
from sparsebench.tasks.ruler_qa import RulerQa
from sparsebench.tasks.window import Window, load_tokenizer

CORPUS = read_corpus(shipped("hotpotqa"), "hotpotqa")


def _titles(places: Sequence[int]) -> set[str]:
    return {CORPUS.documents[place].title for place in places}


def _question(prompt: str) -> Question:
    [found] = [question for question in CORPUS.questions if f"Question: {question.text}" in prompt]
    return found


@pytest.mark.parametrize("length", [1024, 8192])
def test_related_distractors_come_before_others(tokenizer_dir: Path, length: int) -> None:
    task = RulerQa(form="hotpotqa", corpus="shipped", shortest_tok=1024)
    window = Window(load_tokenizer(tokenizer_dir), length)
    others, first = 0, 0
    for index in range(20):
        prompt = task.synthesise(draw_of(task, 5, index, "tiny", length), window).user
        question = _question(prompt)
        titles = re.findall(r"^Document \d+: (.*)$", prompt, re.M)
        said = set(titles)
        own, related = _titles(question.documents), _titles(question.related)
        assert own <= said and said & related
        others += len(said - own - related)
        assert related <= said or said <= own | related
        first += set(titles[: len(related)]) <= own | related
    assert (others > 0) == (length == 8192)
    assert length < 8192 or not first  # taken first, not standing first
