"""Training samples: the benchmark's prompt and its answer, then more questions on the same context.

The first turn is the very prompt that the benchmark would give. One answer of a few tokens over thousands is too thin
a signal to learn from, so further turns ask for other facts of the same text, which are read back from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sparsebench.tasks.base import Sample, Task
from sparsebench.tasks.draw import Draw
from sparsebench.tasks.ruler_niah import RulerNiah
from sparsebench.tasks.ruler_vt import RulerVt
from sparsebench.tasks.story import ARRIVE, BUY, MEET
from sparsebench.tasks.story_multihop import StoryMultihop
from sparsebench.tasks.story_retrieval import KINDS, StoryRetrieval, answer, ask


@dataclass(frozen=True)
class Turn:
    """A question and its answer.

    Parameters
    ----------
    user, prefix
        The user's message and the assistant's first words.
    parts
        What the assistant says then, in pieces that are encoded one by one; the flag marks answers among separators.
    any_order
        Whether the answers may come in any order.
    """

    user: str
    prefix: str
    parts: tuple[tuple[str, bool], ...]
    any_order: bool = False


def parts_of(perfect: str, answers: Sequence[str]) -> tuple[tuple[str, bool], ...]:
    """Cut a perfect answer into separators and answers, each with the space before it."""
    parts: list[tuple[str, bool]] = []
    rest = perfect
    for gold in answers:
        before, _, rest = rest.partition(gold)
        lead = before.endswith(" ")
        parts += [(before[:-1] if lead else before, False), (" " + gold if lead else gold, True)]
    return tuple((text, flag) for text, flag in (*parts, (rest, False)) if text)


def first_turn(task: Task, sample: Sample) -> Turn:
    """The benchmark's own prompt and its perfect answer."""
    any_order = task.name == "ruler_cwe"
    return Turn(sample.user, sample.answer_prefix, parts_of(sample.perfect, sample.answers), any_order)


def more_turns(task: Task, sample: Sample, draw: Draw) -> Iterator[Turn]:
    """Further questions on the context of ``sample``, as the task words them; none for tasks with one question only."""
    for kind, turns in _MORE.items():
        if isinstance(task, kind):
            yield from turns(task, sample, draw)


def _needles(task: RulerNiah, sample: Sample, draw: Draw) -> Iterator[Turn]:
    pairs = re.findall(r"\bThe \w+ for (\S+) is: (\S+)\.$", sample.user, re.MULTILINE)
    draw.shuffle(pairs)
    while pairs:
        n = min(len(pairs), draw.choice((1, 2, task.queries, task.queries, 8, 12)))
        asked, pairs = pairs[:n], pairs[n:]
        user, prefix = task.ask([key for key, _ in asked])
        values = [value for _, value in asked]
        yield Turn(user.lstrip(), prefix, parts_of(" " + ", ".join(values), values))


def _chains(task: RulerVt, sample: Sample, draw: Draw) -> Iterator[Turn]:
    chains: dict[str, list[str]] = {}
    value_of: dict[str, str] = {}
    for name, right in re.findall(r"\bVAR ([A-Z]{5}) = (?:VAR )?(\w+)$", sample.user.split("Text:\n")[1], re.MULTILINE):
        value = value_of.get(right, right)
        value_of[name] = value
        chains.setdefault(value, []).append(name)
    rest = [(value, names) for value, names in chains.items() if tuple(names) != sample.answers]
    draw.shuffle(rest)
    for value, names in rest:
        user, prefix = task.ask(value)
        yield Turn(user.lstrip(), prefix, parts_of(" " + ", ".join(names), names))


def _inverse(forms: Sequence[str]) -> re.Pattern[str]:
    """Pattern that finds the facts in a sentence made from one of ``forms``; group names carry the form's number."""
    wild = {"town": r"[A-Z]\w+(?: [A-Z]\w+)?", "person": r"[A-Z]\w+(?: [A-Z]\w+)?", "item": r"[a-z]+ [a-z]+"}
    options = []
    for i, form in enumerate(forms):
        text = re.escape(form).replace(r"\{", "{").replace(r"\}", "}").replace(r"\ ", " ")
        text = re.sub(r"\b([Aa]) (?={)", r"\1n? ", text)
        for name in ("who", "n", "job", "place", "adjective", *wild):
            group = f"(?P<{name}{i}>{wild[name]})" if name in wild else r"[\w ]+?"
            text = text.replace("{" + name + "}", group)
        options.append(text)
    return re.compile("|".join(options))


_FACTS = {"town": _inverse(ARRIVE), "person": _inverse(MEET), "item": _inverse(BUY)}


def facts(user: str) -> list[dict[str, str]]:
    """Facts of each chapter of a story, by kind; a chapter without a purchase has no item."""
    chapters = re.split(r"^Chapter \d+\n", user.split("Afterword\n")[0], flags=re.MULTILINE)[1:]
    told = []
    for chapter in chapters:
        found = {kind: pattern.search(chapter.split("\n\n")[0]) for kind, pattern in _FACTS.items()}
        told.append(
            {
                kind: next(text for name, text in match.groupdict().items() if name.startswith(kind) and text)
                for kind, match in found.items()
                if match
            }
        )
    return told


def _who(user: str) -> str:
    match = re.match(r"Read the story of ([\w ]+);", user)
    assert match
    return match[1]


def _retrieval(task: StoryRetrieval, sample: Sample, draw: Draw) -> Iterator[Turn]:
    who, told = _who(sample.user), facts(sample.user)
    wanted = [(kind, n) for n in range(1, len(told) + 1) for kind in KINDS]
    draw.shuffle(wanted)
    while wanted:
        n = draw.choice((task.questions, task.questions, 2, 8))
        asked, wanted = wanted[:n], wanted[n:]
        values = [told[number - 1][kind] for kind, number in asked]
        yield Turn(ask(who, asked).lstrip(), task.answer_prefix, parts_of(answer(values), values))


def _multihop(task: StoryMultihop, sample: Sample, draw: Draw) -> Iterator[Turn]:
    who = _who(sample.user)
    hops = list(pairwise(told["item"] for told in facts(sample.user) if "item" in told))
    draw.shuffle(hops)
    for gold, item in hops:
        user, prefix = task.ask(who, item)
        yield Turn(user.lstrip(), prefix, parts_of(f" {gold}", [gold]))


_MORE: dict[type[Task], Callable[[Any, Sample, Draw], Iterator[Turn]]] = {
    RulerNiah: _needles,
    RulerVt: _chains,
    StoryRetrieval: _retrieval,
    StoryMultihop: _multihop,
}
