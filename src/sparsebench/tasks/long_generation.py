"""Answers that are long themselves: copy, sort or aggregate items scattered over the context."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from sparsebench.errors import UserError
from sparsebench.tasks.base import Positive, Sample, Score, Task
from sparsebench.tasks.draw import Draw
from sparsebench.tasks.haystack import hide, prose
from sparsebench.tasks.labels import Labels
from sparsebench.tasks.window import Window
from sparsebench.tasks.words import words

_ITEM = re.compile(r"[a-z]+-[a-z]+")
_TOTAL = re.compile(r"^[\W\d]*([a-z]+)\W*[:=]\s*\**(\d{1,9})\b", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class LongGeneration(Task):
    """Write out all entries of a register that lies scattered over the text.

    - Source: this project; like LongGenBench (arXiv:2409.02076) and LongProc (arXiv:2501.05414) it
      stresses decoding.
    - Metric: ``copy``, ``sort``: longest common subsequence over the longer list; ``aggregate``: share of the
      groups whose total is right, over the larger number of groups.
    - Chance: 0; entries are random word pairs.
    - Isolates: hundreds of retrievals in one answer, where each generated token depends on sparse reads.
    - Length: the haystack grows; the answer is as long as ``items`` says, up to thousands of tokens.

    Parameters
    ----------
    kind
        ``copy`` lists the entries by number, ``sort`` by alphabet, ``aggregate`` adds up amounts per group.
    items
        Entries; each is about 6 tokens of answer when copied or sorted.
    groups
        Groups over which ``aggregate`` adds up.
    answer_prefix
        First words of the answer, given to the model.
    """

    name = "long_generation"
    metric = "sequence_match"
    minimum_tok = 2048
    source = "this project"

    kind: Literal["copy", "sort", "aggregate"] = "copy"
    items: Positive = 100
    groups: Positive = 20
    answer_prefix: str = ""

    def __post_init__(self) -> None:
        if self.kind == "aggregate" and self.groups > len(words("nouns")):
            raise UserError(f"groups is {self.groups}; allowed: at most {len(words('nouns'))}, the names there are")

    def metric_name(self) -> str:
        """``sequence_match`` or ``totals``."""
        return "totals" if self.kind == "aggregate" else "sequence_match"

    def synthesise(self, draw: Draw, window: Window) -> Sample:
        """See :class:`Task`."""
        head = "A register lies scattered over the following text, one entry here, one entry there.\n\n"
        if self.kind == "aggregate":
            groups = draw.sample(words("nouns"), min(self.groups, self.items))
            names = groups + draw.choices(groups, k=self.items - len(groups))
            draw.shuffle(names)
            amounts = [draw.randrange(1, 10) for _ in names]
            entries = [f"Entry {i}: {n} {a}.\n" for i, (n, a) in enumerate(zip(names, amounts, strict=True), 1)]
            totals = {group: sum(a for n, a in zip(names, amounts, strict=True) if n == group) for group in groups}
            answers = tuple(f"{group}: {totals[group]}" for group in sorted(groups))
            order = (
                "Each entry adds an amount to a name. List every name by alphabet with the sum of its amounts, "
                "one in a line, as `name: sum`, and write nothing else."
            )
        else:
            labels = Labels(draw)
            names = [labels.new("word") for _ in range(self.items)]
            entries = [f"Entry {i}: {name}.\n" for i, name in enumerate(names, start=1)]
            answers = tuple(names if self.kind == "copy" else sorted(names))
            by = "of their numbers" if self.kind == "copy" else "of the alphabet"
            order = f"List all {self.items} entries in the order {by}, one in a line without numbers, and nothing else."
        depths = draw.depths(len(entries))
        if self.kind == "copy":
            # In order of their numbers the answer follows the text; the other kinds have to search it.
            depths.sort()
        user, places = hide(self.name, window, head, f"\n\n{order}", self.answer_prefix, prose(draw), entries, depths)
        perfect = "\n".join(answers)
        return Sample(
            user=user,
            answer_prefix=self.answer_prefix,
            answers=answers,
            evidence=places,
            max_new_tok=window.count(perfect) + 2 * len(answers) + 8,
            perfect=perfect,
            meta={"kind": self.kind},
        )

    def score(self, prediction: str, answers: Sequence[str], meta: Mapping[str, Any]) -> Score:
        """Compare the word pairs (or ``name: sum`` lines) of the text with the gold list.

        Whatever stands between them is passed over: numbers, bullets, commas. An entry written twice counts as two.
        """
        if meta["kind"] == "aggregate":
            said: dict[str, int] = {}
            for name, total in _TOTAL.findall(prediction):
                said.setdefault(name.lower(), int(total))
            right = sum(said.get(gold.split(": ")[0]) == int(gold.split(": ")[1]) for gold in answers)
            return Score(right / max(len(said), len(answers)), parse_failed=not said)
        listed = _ITEM.findall(prediction.lower())
        return Score(common(listed, answers) / max(len(listed), len(answers)), parse_failed=not listed)

    def guess(self, draw: Random, sample: Sample) -> str:
        """Random word pairs, as many as are asked for."""
        labels = Labels(draw)
        return "\n".join(labels.new("word") for _ in sample.answers)


def common(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for x in a:
        before = 0
        for j, y in enumerate(b, start=1):
            before, row[j] = row[j], before + 1 if x == y else max(row[j], row[j - 1])
    return row[-1]
