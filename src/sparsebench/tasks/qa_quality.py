"""Multiple-choice questions on long stories and articles (QuALITY)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sparsebench.corpora.formats import Format
from sparsebench.tasks.base import Positive
from sparsebench.tasks.choice import ChoiceTask


@dataclass(frozen=True)
class QaQuality(ChoiceTask):
    """Choose the right one of four options for a question on one long document among others.

    - Source: QuALITY (Pang et al. 2022, arXiv:2112.08608), packed among distractors as in arXiv:2504.17768.
    - Metric: exact match of the chosen letters; ``(accuracy - chance) / (1 - chance)`` corrects for chance.
    - Chance: 0.25, one of four options.
    - Isolates: understanding of a long passage (4K-8K tokens), found by its number.
    - Length: distractor documents grow in number; the questions stay the same.
    - Departures: the question says how many options are right, which the study's does not, and documents bear their
      titles. All documents of the development set may be distractors; the study's are those of the questions it keeps,
      from a file of its own that is not published with its code.

    Parameters are those of :class:`ChoiceTask`.
    """

    name = "qa_quality"
    metric = "exact_choice"
    chance = 0.25
    minimum_tok = 8192
    source = "QuALITY, arXiv:2112.08608"
    form: ClassVar[Format] = "quality"

    corpus: str = "results/corpora/quality.json"
    shortest_tok: Positive = 8192
