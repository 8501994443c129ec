"""Questions on short descriptions of made-up towns in seven scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparsebench.tasks.answers import first_line
from sparsebench.tasks.base import Sample, Score, Task
from sparsebench.tasks.draw import Draw
from sparsebench.tasks.haystack import hide
from sparsebench.tasks.languages import Language, LanguageName, Terms, language_of, same, short
from sparsebench.tasks.window import Window


@dataclass(frozen=True)
class MultilingualQa(Task):
    """Answer a question on one of many towns in Russian, Greek, Arabic, Hindi, Chinese, Japanese or Korean.

    - Source: this project; form of ONERULER (arXiv:2503.01996), texts generated.
    - Metric: 1 if the answer occurs in the first line (compared without case, see :func:`same`), else 0.
    - Chance: 0; years, names and goods are random.
    - Isolates: reading by content among documents of the same form, in scripts with costly tokens.
    - Length: towns grow in number; each has a name of its own.

    Parameters
    ----------
    language
        One of ``ru el ar hi zh ja ko``, or ``all``: in turn over the samples.
    """

    name = "multilingual_qa"
    metric = "partial_match"
    minimum_tok = 1024
    source = "this project, after arXiv:2503.01996"

    language: LanguageName = "all"

    def synthesise(self, draw: Draw, window: Window) -> Sample:
        """See :class:`Task`."""
        language = language_of(self.language, draw.index)
        terms = Terms(language, draw)
        facts = _facts(terms, draw)
        # In turn, and three kinds beside seven languages: every pair comes once in 21 samples, at every length.
        kind = sorted(language.questions)[draw.index % len(language.questions)]
        question = language.questions[kind].format(town=facts["town"])

        def others() -> Iterator[str]:
            while True:
                # A year that is the answer must not be that of another town.
                other = _facts(terms, draw)
                if other["year"] != facts["year"]:
                    yield _document(language, other)

        head, tail = f"{language.qa_head}\n\n", f"\n\n{question}"
        document = _document(language, facts)
        user, places = hide(
            self.name, window, head, tail, language.qa_prefix, others(), [document], draw.depths(1), short(language)
        )
        perfect = f"{language.space}{facts[kind]}"
        return Sample(
            user=user,
            answer_prefix=language.qa_prefix,
            answers=(facts[kind],),
            evidence=places,
            max_new_tok=window.count(perfect) + 12,
            perfect=perfect,
            meta={"language": language.name},
        )

    def score(self, prediction: str, answers: Sequence[str], meta: Mapping[str, Any]) -> Score:
        """1 if the first line that is not blank holds the answer, a year not being part of a longer number."""
        line = same(first_line(prediction))
        answer = same(answers[0])
        right = re.search(rf"(?<!\d){re.escape(answer)}(?!\d)", line) is not None
        return Score(float(right), parse_failed=not any(c.isalnum() for c in line))


def _facts(terms: Terms, draw: Draw) -> dict[str, str]:
    return {
        "town": terms.name(4),
        "person": terms.name(5),
        "year": str(draw.randrange(1000, 2000)),
        "thing": terms.joined(3),
    }


def _document(language: Language, facts: Mapping[str, str]) -> str:
    return language.document.format(**facts) + "\n"
