"""Multiple-choice questions on lectures and conversations (TOEFL listening)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sparsebench.corpora.formats import Format
from sparsebench.tasks.base import Positive
from sparsebench.tasks.choice import ChoiceTask


@dataclass(frozen=True)
class QaToefl(ChoiceTask):
    """Choose the right options for a question on one transcript among others.

    - Source: TOEFL listening comprehension (Tseng et al. 2016, arXiv:1608.06378), packed among distractors as in
      arXiv:2504.17768.
    - Metric: exact match of the set of chosen letters; ``(accuracy - chance) / (1 - chance)`` corrects for chance.
    - Chance: 0.25 with one or three right options of four, 1/6 with two; 0.24 over the corpus.
    - Isolates: understanding of a passage (about 1K tokens of speech), found by its number.
    - Length: distractor transcripts grow in number; the questions stay the same.
    - Departures: the question says how many options are right, as the test itself does; the study's does not.

    Parameters are those of :class:`ChoiceTask`.
    """

    name = "qa_toefl"
    metric = "exact_choice"
    chance = 0.24
    minimum_tok = 4096
    source = "TOEFL listening, arXiv:1608.06378"
    form: ClassVar[Format] = "toefl"

    corpus: str = "results/corpora/toefl.json"
    shortest_tok: Positive = 4096
