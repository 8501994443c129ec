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
from sparsebench.tasks.story_retrieval import KINDS, StoryRetrieval, ask


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
    """The benchmark's own prompt and a right answer to it.

    Where a question lists several keys, the answer says each key again before its value: what follows a key is then
    read off the text by the mechanism that copies. Scorers look for the values and take such answers as they are.
    """
    said = tuple((gold, True) for gold in sample.answers)
    if isinstance(task, RulerNiah):
        key_of = {value: key for key, value in _pairs(sample.user)}
        said = _by_key([(key_of[value], value) for value in sample.answers])
    elif isinstance(task, StoryRetrieval):
        found = re.findall(r"^\d+\. (\w+ \w+) .*chapter (\d+)\?$", sample.user.split("Questions:\n")[-1], re.MULTILINE)
        asked = [(next(kind for kind, word in _ASKS.items() if word in start), int(n)) for start, n in found]
        said = _by_chapter(asked, sample.answers)
    else:
        said = parts_of(sample.perfect, sample.answers)
    return Turn(sample.user, sample.answer_prefix, said, task.name == "ruler_cwe")


def _by_key(pairs: Sequence[tuple[str, str]]) -> tuple[tuple[str, bool], ...]:
    parts: list[tuple[str, bool]] = []
    for i, (key, value) in enumerate(pairs):
        parts += [(f"{',' if i else ''} {key} is:", False), (f" {value}", True)]
    return tuple(parts)


_ASKS = {"town": "town", "person": "Whom", "item": "item"}
"""A word of the question after each kind of fact."""

_SAYS = {"town": "town", "person": "meet", "item": "item"}
"""What the answer calls it, a word of the question too."""


def _by_chapter(asked: Sequence[tuple[str, int]], values: Sequence[str]) -> tuple[tuple[str, bool], ...]:
    parts: list[tuple[str, bool]] = []
    for i, ((kind, number), value) in enumerate(zip(asked, values, strict=True), 1):
        parts += [(f"{f'{chr(10)}{i}.' if i > 1 else ''} chapter {number} {_SAYS[kind]}:", False), (f" {value}", True)]
    return tuple(parts)


def _pairs(user: str) -> list[tuple[str, str]]:
    """Keys and values of all needles of a text."""
    return re.findall(r"\bThe \w+ for (\S+) is: (\S+)\.$", user, re.MULTILINE)


def more_turns(task: Task, sample: Sample, draw: Draw) -> Iterator[Turn]:
    """Further questions on the context of ``sample``, as the task words them; none for tasks with one question only."""
    for kind, turns in _MORE.items():
        if isinstance(task, kind):
            yield from turns(task, sample, draw)


def _needles(task: RulerNiah, sample: Sample, draw: Draw) -> Iterator[Turn]:
    pairs = _pairs(sample.user)
    draw.shuffle(pairs)
    while pairs:
        n = min(len(pairs), draw.choice((1, task.queries, task.queries, 2 * task.queries)))
        asked, pairs = pairs[:n], pairs[n:]
        user, prefix = task.ask([key for key, _ in asked])
        yield Turn(user.lstrip(), prefix, _by_key(asked))


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
        yield Turn(ask(who, asked).lstrip(), task.answer_prefix, _by_chapter(asked, values))


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
