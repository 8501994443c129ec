"""Multiple-choice questions on one document among many: shared by QuALITY and TOEFL."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from random import Random
from typing import Any, ClassVar

from sparsebench.corpora.formats import Format
from sparsebench.tasks.answers import letters
from sparsebench.tasks.base import Sample, Score, Task
from sparsebench.tasks.documents import choose_question, corpus_files, open_corpus, pack
from sparsebench.tasks.draw import Draw
from sparsebench.tasks.window import Window


@dataclass(frozen=True)
class ChoiceTask(Task):
    """A multiple-choice task; subclasses name the corpus.

    The prompt says how many options are right, as the test itself does.
    """

    form: ClassVar[Format]

    @property
    @abstractmethod
    def settings(self) -> tuple[str, int, str]:
        """Corpus, shortest_tok, answer_prefix."""

    def files(self) -> tuple[str, ...]:
        """See :class:`Task`."""
        return corpus_files(self.settings[0])

    def synthesise(self, draw: Draw, window: Window) -> Sample:
        """See :class:`Task`."""
        path, shortest_tok, prefix = self.settings
        corpus = open_corpus(path, self.form)
        question = choose_question(draw, window, corpus, shortest_tok, self.name)
        right = len(question.answers)
        options = "\n".join(f"{chr(ord('A') + i)}. {option}" for i, option in enumerate(question.options))
        asked = "Which option is right?" if right == 1 else f"Which {right} options are right?"
        form = "Answer with its letter only." if right == 1 else "Answer with their letters only, e.g. B, C."
        head = "Read the numbered documents below; a question on one of them follows.\n\n"
        tail = f"\n\nQuestion about document {{}}: {question.text}\n{options}\n{asked} {form}"
        packed = pack(draw, window, corpus, question.documents, head + tail.replace("{}", "999", 1), prefix, self.name)
        perfect = " " + ", ".join(question.answers)
        return Sample(
            user=head + packed.context + tail.replace("{}", str(packed.numbers[0]), 1),
            answer_prefix=prefix,
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
