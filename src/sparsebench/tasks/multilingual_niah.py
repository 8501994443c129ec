"""Needle in a haystack in seven scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sparsebench.tasks.base import Positive, Sample, Score, Task
from sparsebench.tasks.draw import Draw
from sparsebench.tasks.haystack import hide
from sparsebench.tasks.languages import LanguageName, Terms, hay, language_of, same, short
from sparsebench.tasks.window import Window


@dataclass(frozen=True)
class MultilingualNiah(Task):
    """Find the value of a key in a text in Russian, Greek, Arabic, Hindi, Chinese, Japanese or Korean.

    - Source: this project, after RULER (arXiv:2404.06654) and its multilingual kin ONERULER (arXiv:2503.01996).
    - Metric: 1 if the value occurs in the answer (compared without case, see :func:`same`), else 0.
    - Chance: 0; values are three nouns of about forty, or seven digits.
    - Isolates: retrieval where tokens are bytes or rare pieces, so that one word spans many keys.
    - Length: the haystack grows in tokens; scripts with costly tokens hold fewer sentences.

    Parameters
    ----------
    language
        One of ``ru el ar hi zh ja ko``, or ``all``: in turn over the samples.
    keys
        Needles in the text; one is asked for, the others distract.
    value_kind
        ``word``: three nouns joined by hyphens; ``number``: seven digits.
    """

    name = "multilingual_niah"
    metric = "recall"
    minimum_tok = 1024
    source = "this project, after arXiv:2404.06654"

    language: LanguageName = "all"
    keys: Positive = 1
    value_kind: Literal["word", "number"] = "word"

    def synthesise(self, draw: Draw, window: Window) -> Sample:
        """See :class:`Task`."""
        language = language_of(self.language, draw.index)
        terms = Terms(language, draw)
        keys = [terms.joined(2) for _ in range(self.keys)]
        if self.value_kind == "word":
            values = [terms.joined(3) for _ in keys]
        else:
            values = [str(number) for number in draw.sample(range(1_000_000, 10_000_000), self.keys)]
        needles = [language.needle.format(key=k, value=v) + "\n" for k, v in zip(keys, values, strict=True)]
        depths = draw.depths(1) + [draw.random() for _ in keys[1:]]
        head, tail = f"{language.head}\n\n", "\n\n" + language.question.format(key=keys[0])
        prefix = language.prefix.format(key=keys[0])
        user, places = hide(
            self.name, window, head, tail, prefix, hay(language, draw), needles, depths, short(language)
        )
        perfect = f"{language.space}{values[0]}"
        return Sample(
            user=user,
            answer_prefix=prefix,
            answers=(values[0],),
            evidence=places[:1],
            max_new_tok=window.count(perfect) + 8,
            perfect=perfect,
            stop=(".", "。", "।"),
            meta={"language": language.name},
        )

    def score(self, prediction: str, answers: Sequence[str], meta: Mapping[str, Any]) -> Score:
        """1 if the value occurs, compared as :func:`same` says. Parsing fails if no letter or digit is there."""
        said = same(prediction)
        return Score(float(same(answers[0]) in said), parse_failed=not any(c.isalnum() for c in said))
