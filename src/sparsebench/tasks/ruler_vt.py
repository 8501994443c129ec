"""RULER's variable tracking: follow chains of assignments scattered over the text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any, Literal

from pydantic import Field

from sparsebench.tasks.answers import first_paragraph
from sparsebench.tasks.base import Count, Sample, Score, Task
from sparsebench.tasks.draw import Draw, belongs
from sparsebench.tasks.haystack import hide, noise, prose
from sparsebench.tasks.recall import iou, recall
from sparsebench.tasks.window import Window

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_NAME = re.compile(r"\b[A-Z]{5}\b")
_PREFIX = "Following the assignments, these {n} variables hold {value}:"
_EXAMPLE = (
    "Example:\nVAR QJXWA = 81745\nThe road is long.\nVAR KTZPB = VAR QJXWA\n"
    "Question: Which variables hold the value 81745? Answer: QJXWA, KTZPB\n\n"
)


@dataclass(frozen=True)
class RulerVt(Task):
    """Name all variables that hold a value, directly or through a chain of assignments.

    - Source: RULER (arXiv:2404.06654), section 3 "Multi-hop tracing"; wording is this project's.
    - Metric: recall, the share of the chain's variable names that occur in the answer, as RULER has it; ``match: iou``
      is the study's intersection over union (arXiv:2504.17768, with ``chains: 8``), where more names cost.
    - Chance: 0; names are five random letters. As in RULER, listing all names of the text would score 1.
    - Isolates: tracing through several scattered statements, each of which is needed.
    - Length: the haystack grows, chains and hops stay; the chain's statements are spread evenly.
    - Departures: the worked example has two variables, where RULER's is a prompt of 500 tokens with as many chains and
      hops as are asked for. A chain stands in its order, and the question tells how many variables to name, both as in
      RULER; the study shuffles the chain and does not tell. ``iou`` reads the first paragraph, the study what stands in
      tags.

    Parameters
    ----------
    chains
        Chains in the text, each from a value of its own; one is asked for, the others distract.
    hops
        Assignments from variable to variable in each chain, which has ``hops + 1`` names.
    haystack
        ``noise`` (as in RULER) or ``prose``.
    example
        Whether a worked example stands before the text.
    match
        ``recall`` (RULER) or ``iou`` (the study).
    answer_prefix
        First words of the answer; ``{n}`` and ``{value}`` are filled in.
    """

    name = "ruler_vt"
    metric = "recall"
    minimum_tok = 512
    source = "RULER, arXiv:2404.06654"
    scoring = ("match",)

    chains: Annotated[int, Field(ge=1, le=10_000)] = 1  # more have no values of five digits left
    hops: Count = 4
    haystack: Literal["noise", "prose"] = "noise"
    example: bool = True
    match: Literal["recall", "iou"] = "recall"
    answer_prefix: str = _PREFIX

    def ask(self, value: str) -> tuple[str, str]:
        """The question for the chain of ``value``, and the answer prefix."""
        size = self.hops + 1
        question = f"\n\nQuestion: Which variables hold the value {value}? Name all {size} of them."
        return question, self.answer_prefix.replace("{n}", str(size)).replace("{value}", value)

    def synthesise(self, draw: Draw, window: Window) -> Sample:
        """See :class:`Task`."""
        size = self.hops + 1
        seen = {"QJXWA", "KTZPB"}
        names: list[str] = []
        while len(names) < self.chains * size:
            name = "".join(draw.choices(_LETTERS, k=5))
            if name not in seen and belongs(draw, name):
                seen.add(name)
                names.append(name)
        # The example's value is not among them.
        numbers = draw.sample(range(10_000, 81_745), 4 * self.chains + 60)
        values = [value for value in map(str, numbers) if belongs(draw, value)][: self.chains]
        statements: list[str] = []
        depths: list[float] = []
        for chain, value in enumerate(values):
            own = names[chain * size : (chain + 1) * size]
            statements += [f"VAR {a} = {b}\n" for a, b in zip(own, [value, *(f"VAR {n}" for n in own)], strict=False)]
            # A chain reads forwards: an assignment stands after the one that it refers to.
            depths += sorted(draw.depths(size) if chain == 0 else [draw.random() for _ in range(size)])
        answers = tuple(names[:size])
        head = (
            "Statements that assign values to variables are scattered over a text. A variable may be assigned "
            "a number, or another variable, whose value it then holds too.\n\n"
            + (_EXAMPLE if self.example else "")
            + "Text:\n"
        )
        tail, prefix = self.ask(values[0])
        hay = noise() if self.haystack == "noise" else prose(draw)
        user, places = hide(self.name, window, head, tail, prefix, hay, statements, depths)
        perfect = " " + ", ".join(answers)
        return Sample(
            user=user,
            answer_prefix=prefix,
            answers=answers,
            evidence=places[:size],
            max_new_tok=window.count(perfect) + 4 * size,
            perfect=perfect,
        )

    def metric_name(self) -> str:
        """``recall`` or ``iou``."""
        return self.match

    def score(self, prediction: str, answers: Sequence[str], meta: Mapping[str, Any]) -> Score:
        """Recall, or intersection over union with the names in the first paragraph.

        Names are words of five capital letters there, or of five letters where none is in capitals. Parsing fails if
        the answer holds none.
        """
        said = first_paragraph(prediction)
        named = _NAME.findall(said) or _NAME.findall(said.upper())
        value = recall(prediction, answers) if self.match == "recall" else iou(named, answers)
        return Score(value, parse_failed=not _NAME.search(prediction.upper()))

    def guess(self, draw: Random, sample: Sample) -> str:
        """Random names, as many as are asked for."""
        return " " + ", ".join("".join(draw.choices(_LETTERS, k=5)) for _ in sample.answers)
