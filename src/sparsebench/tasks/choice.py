"""Multiple-choice questions on one document among many: shared by QuALITY and TOEFL."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from random import Random
from typing import Any

from sparsebench.corpora.formats import Format
from sparsebench.tasks.answers import letters
from sparsebench.tasks.base import Positive, Sample, Score, Task
from sparsebench.tasks.documents import choose_question, corpus_files, open_corpus, pack
from sparsebench.tasks.draw import Draw
from sparsebench.tasks.window import Window


@dataclass(frozen=True)
class ChoiceTask(Task):
    """A multiple-choice task; subclasses name the corpus and its format.

    The prompt says how many options are right, as the test itself does.

    Parameters
    ----------
    corpus
        File in the published format, or ``shipped`` for the small one of this package.
    shortest_tok
        Questions whose document does not fit into a prompt of this many tokens are left out at every length.
    answer_prefix
        First words of the answer, given to the model.
    """

    corpus: str
    shortest_tok: Positive
    answer_prefix: str = "Answer:"

    @property
    @abstractmethod
    def form(self) -> Format:
        """Format of the corpus."""

    def files(self) -> tuple[str, ...]:
        """See :class:`Task`."""
        return corpus_files(self.corpus)

    def synthesise(self, draw: Draw, window: Window) -> Sample:
        """See :class:`Task`."""
        corpus = open_corpus(self.corpus, self.form)
        question = choose_question(draw, window, corpus, self.shortest_tok, self.name)
        right = len(question.answers)
        options = "\n".join(f"{chr(ord('A') + i)}. {option}" for i, option in enumerate(question.options))
        asked = "Which option is right?" if right == 1 else f"Which {right} options are right?"
        form = "Answer with its letter only." if right == 1 else "Answer with their letters only, e.g. B, C."
        head = "Read the numbered documents below; a question on one of them follows.\n\n"
        tail = f"\n\nQuestion about document {{}}: {question.text}\n{options}\n{asked} {form}"
        framed = head + tail.replace("{}", "999", 1)
        packed = pack(draw, window, corpus, question.documents, framed, self.answer_prefix, self.name)
        perfect = " " + ", ".join(question.answers)
        return Sample(
            user=head + packed.context + tail.replace("{}", str(packed.numbers[0]), 1),
            answer_prefix=self.answer_prefix,
            answers=question.answers,
            evidence=tuple(len(head) + offset for offset in packed.offsets),
            # Room for a short sentence ("The right answer is (B)."), not for reasoning.
            max_new_tok=12 + window.count(perfect),
            perfect=perfect,
            meta={"options": list(question.options)},
        )

    def score(self, prediction: str, answers: Sequence[str], meta: Mapping[str, Any]) -> Score:
        """1 if exactly the right letters are chosen; parsing fails if no choice can be found."""
        chosen = letters(prediction, meta["options"], len(answers))
        return Score(float(chosen == frozenset(answers)), parse_failed=not chosen)

    def chance_of(self, answers: Sequence[str], meta: Mapping[str, Any]) -> float:
        """One in as many as there are ways to choose that many options."""
        return 1 / comb(len(meta["options"]), len(answers))

    def guess(self, draw: Random, sample: Sample) -> str:
        """As many random letters as are right."""
        every = [chr(ord("A") + i) for i in range(len(sample.meta["options"]))]
        return " " + ", ".join(sorted(draw.sample(every, len(sample.answers))))
