"""Extractive questions on Wikipedia paragraphs (SQuAD)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sparsebench.tasks.answers import exact_match, first_line, normalise, token_f1
from sparsebench.tasks.base import Positive, Sample, Score, Task
from sparsebench.tasks.documents import choose_question, corpus_files, open_corpus, pack
from sparsebench.tasks.draw import Draw
from sparsebench.tasks.window import Window


@dataclass(frozen=True)
class QaSquad(Task):
    """Answer a question with words of one paragraph among many others.

    - Source: SQuAD v1.1 (Rajpurkar et al. 2016, arXiv:1606.05250), packed among distractors as in arXiv:2504.17768.
    - Metric: token F1 with SQuAD's normalisation, maximum over references (``match: exact`` for exact match).
    - Chance: 0 for one who has not read the documents.
    - Isolates: reading one short passage, found by its number, among others.
    - Length: distractor paragraphs grow in number; the questions stay the same.
    - Departures: F1 is SQuAD's own, over bags of words; the study's code compares sets and drops more small words. The
      study takes the development set of SQuAD 2.0, as RULER does, without its questions that have no answer. Documents
      bear their titles here.

    Parameters
    ----------
    corpus
        File in SQuAD's published format, or ``shipped`` for the small one of this package.
    shortest_tok
        Questions whose paragraph does not fit into a prompt of this many tokens are left out at every length.
    match
        ``f1`` or ``exact``.
    answer_prefix
        First words of the answer, given to the model.
    """

    name = "qa_squad"
    metric = "token_f1"
    minimum_tok = 1024
    source = "SQuAD v1.1, arXiv:1606.05250"
    scoring = ("match",)

    corpus: str = "results/corpora/squad.json"
    shortest_tok: Positive = 1024
    match: Literal["f1", "exact"] = "f1"
    answer_prefix: str = "Answer:"

    def files(self) -> tuple[str, ...]:
        """See :class:`Task`."""
        return corpus_files(self.corpus)

    def synthesise(self, draw: Draw, window: Window) -> Sample:
        """See :class:`Task`."""
        corpus = open_corpus(self.corpus, "squad")
        question = choose_question(draw, window, corpus, self.shortest_tok, self.name)
        head = "Read the numbered documents below; a question on one of them follows.\n\n"
        tail = (
            f"\n\nQuestion about document {{}}: {question.text}\nAnswer with a few words of that document and no more."
        )
        # A question may hold braces, so the number is not put in by str.format.
        framed = head + tail.replace("{}", "999", 1)
        packed = pack(draw, window, corpus, question.documents, framed, self.answer_prefix, self.name)
        perfect = " " + question.answers[0]
        return Sample(
            user=head + packed.context + tail.replace("{}", str(packed.numbers[0]), 1),
            answer_prefix=self.answer_prefix,
            answers=question.answers,
            evidence=tuple(len(head) + offset for offset in packed.offsets),
            max_new_tok=8 + max(window.count(" " + answer) for answer in question.answers),
            perfect=perfect,
        )

    def metric_name(self) -> str:
        """``token_f1`` or ``exact_match``."""
        return "token_f1" if self.match == "f1" else "exact_match"

    def score(self, prediction: str, answers: Sequence[str], meta: Mapping[str, Any]) -> Score:
        """F1 or exact match of the first line that is not blank; parsing fails if no word is left of it."""
        answer = first_line(prediction)
        rate = token_f1 if self.match == "f1" else exact_match
        return Score(rate(answer, answers), parse_failed=not normalise(answer))
