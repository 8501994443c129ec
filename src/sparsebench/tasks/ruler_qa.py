"""RULER's question answering: the documents of a question among distractors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sparsebench.tasks.base import Positive, Sample, Score, Task
from sparsebench.tasks.documents import choose_question, corpus_files, open_corpus, pack
from sparsebench.tasks.draw import Draw
from sparsebench.tasks.recall import recall
from sparsebench.tasks.window import Window


@dataclass(frozen=True)
class RulerQa(Task):
    """Answer a question whose documents are not named, among distractor documents.

    - Source: RULER (arXiv:2404.06654), section 3 "Question answering": SQuAD (single hop), HotpotQA (multi-hop,
      arXiv:1809.09600); wording is this project's.
    - Metric: RULER's partial match, 1 if any reference occurs in the answer.
    - Chance: 0 for one who has not read the documents (yes/no questions of HotpotQA: up to 0.5).
    - Isolates: finding by content and reading; with HotpotQA, joining two documents.
    - Length: distractor documents grow in number; the questions stay the same. As in RULER those most like the
      question's own are taken before others: paragraphs of the same article (SQuAD), HotpotQA's own distractors.
    - Departures: ``squad`` as fetched is the development set of SQuAD 1.1, whose questions all have answers; RULER
      takes that of SQuAD 2.0 and leaves out those without. Documents bear their titles here with both corpora, and the
      instruction stands once more in one line instead of whole.

    Parameters
    ----------
    form
        ``squad`` or ``hotpotqa``: the published format of the corpus.
    corpus
        File in that format, or ``shipped`` for the small one of this package; "" means ``results/corpora/{form}.json``.
    shortest_tok
        Questions whose documents do not fit into a prompt of this many tokens are left out at every length.
    answer_prefix
        First words of the answer, given to the model.
    """

    name = "ruler_qa"
    metric = "partial_match"
    minimum_tok = 1024
    source = "RULER, arXiv:2404.06654"

    form: Literal["squad", "hotpotqa"] = "squad"
    corpus: str = ""
    shortest_tok: Positive = 1024
    answer_prefix: str = "Answer:"

    def _path(self) -> str:
        return self.corpus or f"results/corpora/{self.form}.json"

    def files(self) -> tuple[str, ...]:
        """See :class:`Task`."""
        return corpus_files(self._path())

    def synthesise(self, draw: Draw, window: Window) -> Sample:
        """See :class:`Task`."""
        corpus = open_corpus(self._path(), self.form)
        question = choose_question(draw, window, corpus, self.shortest_tok, self.name)
        head = "Answer the question that follows the documents. Give the answer only, nothing else.\n\n"
        tail = f"\n\nQuestion: {question.text} Give the answer only, nothing else."
        frame, related = head + tail, question.related
        packed = pack(draw, window, corpus, question.documents, frame, self.answer_prefix, self.name, related)
        perfect = " " + question.answers[0]
        return Sample(
            user=head + packed.context + tail,
            answer_prefix=self.answer_prefix,
            answers=question.answers,
            evidence=tuple(len(head) + offset for offset in packed.offsets),
            max_new_tok=max(32, 8 + max(window.count(" " + answer) for answer in question.answers)),
            perfect=perfect,
        )

    def score(self, prediction: str, answers: Sequence[str], meta: Mapping[str, Any]) -> Score:
        """1 if any reference occurs in the prediction; parsing fails if the text is blank."""
        value = max(recall(prediction, [answer]) for answer in answers)
        return Score(value, parse_failed=not prediction.strip())
