"""A narrative of numbered chapters: a traveller reaches towns, meets people, buys and sells items.

Departures from the study's stories (arXiv:2504.17768 and its code): a chapter has six sentences, about 110 tokens,
where theirs have ten or more; towns and people come up once, where theirs are unique in pairs; items are two words of
long lists, where theirs are three of short ones and many are alike; items sold were never bought, where half of their
chapters sell one bought earlier; nobody who is met sells. All of it but the first leaves less to be mistaken for the
answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from random import Random

from sparsebench.tasks.draw import belongs
from sparsebench.tasks.haystack import noise
from sparsebench.tasks.names import people, places
from sparsebench.tasks.prose import sentences, with_articles
from sparsebench.tasks.window import Window, too_short
from sparsebench.tasks.words import words

ARRIVE = (
    "{who} reached {town} after {n} hours on the road.",
    "The ferry set {who} down at {town} before breakfast.",
    "It was raining when {who} walked into {town}.",
    "{who} had heard much of {town}, and now stood at its gate.",
    "A cart that smelled of hay took {who} as far as {town}.",
    "By the time the bells rang at noon, {who} was in {town}.",
)
MEET = (
    "At the {place} {person} the {job} was waiting for company.",
    "There {person}, a {adjective} {job}, shared a table with the traveller.",
    "Only {person} the {job} spoke to the stranger, and did so at length.",
    "A {adjective} {job} by the name of {person} showed the way to the {place}.",
    "In front of the {place} sat {person}, who had been a {job} for {n} years.",
)
BUY = (
    "Before dusk {who} bought a {item} for {n} coins.",
    "For {n} coins {who} purchased a {item} from a stall.",
    "{who} could not resist a {item} and paid {n} coins for it.",
    "At the market {who} paid {n} coins and became the owner of a {item}.",
    "After some haggling {who} bought a {item}, which cost {n} coins.",
)
_LOOK = (
    "{who} looked long at a {item} for {n} coins, but left it where it was.",
    "A {item} was on offer for {n} coins; {who} shook the head and went on.",
    "Somebody praised a {item} worth {n} coins, and {who} kept the purse shut.",
    "{who} was offered a {item} for {n} coins and declined with thanks.",
)
_SELL = (
    "A {item}, brought from home, was sold for {n} coins.",
    "{who} parted with a {item} of the family's for {n} coins.",
    "An innkeeper gave {n} coins for a {item} that {who} had carried since childhood.",
)


_LEAST_TOK = 600
"""A shorter story leaves more than a twentieth unfilled: what is kept back for changes, and for a last sentence."""

_DEALS = re.compile(r"\b(?:auctioned|bought|exchanged|inherited|rented|sold|swapped|traded)\b")
"""Prose between the facts must not tell of deals by others."""


@dataclass(frozen=True)
class Chapter:
    """One chapter; ``item`` is what was bought in it, "" for nothing. ``lines`` hold the deal last but two."""

    number: int
    town: str
    person: str
    item: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The chapter with its heading and the blank line that ends it."""
        return f"Chapter {self.number}\n{' '.join(self.lines)}\n\n"


class Story:
    """Tells chapters, none of which shares a town, a person or an item with another."""

    def __init__(self, draw: Random) -> None:
        self._draw = draw
        self._towns, self._people = places(draw), people(draw)
        self._items: set[tuple[str, str]] = set()
        self._pairs: set[tuple[str, str]] = set()
        self._prose = self.prose()
        self.who = next(self._people)

    def _item(self) -> str:
        while True:
            pair = (self._draw.choice(words("adjectives")), self._draw.choice(words("nouns")))
            if pair not in self._pairs and belongs(self._draw, " ".join(pair)):
                self._pairs.add(pair)
                self._items.add(pair)
                return " ".join(pair)

    def prose(self) -> Iterator[str]:
        """Sentences that name no item of the story, nor will any item told later be named in them."""
        for sentence in sentences(self._draw):
            pairs = set(pairwise(sentence.removesuffix(".").replace(",", "").split()))
            if not pairs & self._items and not _DEALS.search(sentence):
                self._pairs |= pairs
                yield sentence

    def _say(self, forms: tuple[str, ...], **facts: str) -> str:
        form = self._draw.choice(forms)
        return with_articles(form.format(who=self.who, n=self._draw.randrange(2, 40), **facts))

    def chapter(self, number: int, buys: bool = True) -> Chapter:
        """Next chapter, with or without a purchase; without one an item is looked at instead."""
        town, person, item = next(self._towns), next(self._people), self._item()
        pick = self._draw.choice
        meet = self._say(
            MEET,
            person=person,
            job=pick(words("people")),
            place=pick(words("places")),
            adjective=pick(words("adjectives")),
        )
        lines = [self._say(ARRIVE, town=town), meet, next(self._prose)]
        lines += [self._say(BUY if buys else _LOOK, item=item), self._say(_SELL, item=self._item()), next(self._prose)]
        return Chapter(number, town, person, item if buys else "", tuple(lines))

    def chapters(self, buying: float = 1.0) -> Iterator[Chapter]:
        """Endless chapters from 1 on; after the second each has a purchase with probability ``buying``."""
        number = 1
        while True:
            yield self.chapter(number, buys=number <= 2 or self._draw.random() < buying)
            number += 1

    def without_purchase(self, chapter: Chapter, looks: bool) -> Chapter:
        """The same chapter in which the item is looked at instead of bought, or not spoken of."""
        instead = [self._say(_LOOK, item=chapter.item)] if looks else []
        return replace(chapter, item="", lines=(*chapter.lines[:-3], *instead, *chapter.lines[-2:]))


def tell(task: str, window: Window, room: int, chapters: Iterator[Chapter], least: int) -> tuple[list[Chapter], int]:
    """Chapters that fit into ``room`` tokens, at least ``least`` of them, and the tokens that they leave."""
    told: list[Chapter] = []

    def texts() -> Iterator[str]:
        for chapter in chapters:
            told.append(chapter)
            yield chapter.text

    taken, counts = window.fill(room, texts())
    left = room - sum(counts)
    if len(taken) < least:
        missing = [*told[len(taken) :], *islice(chapters, least)][: least - len(taken)]
        needed_tok = window.length_tok - left + sum(window.sizes([chapter.text for chapter in missing]))
        raise too_short(task, window, max(needed_tok, _LEAST_TOK))
    return told[: len(taken)], left


def epilogue(window: Window, room: int, story: Story) -> str:
    """Prose that fills ``room`` tokens after the last chapter; no fact that is asked for stands in it."""
    text, counts = window.fill(room, (f"{sentence} " for sentence in story.prose()))
    more, _ = window.fill(room - sum(counts), noise())
    return ("Afterword\n" + "".join(text + more)).rstrip() if text or more else ""


def starts(chapters: list[Chapter], lead: int) -> list[int]:
    """Character offset of each chapter in a message whose first chapter begins at ``lead``."""
    offsets = []
    for chapter in chapters:
        offsets.append(lead)
        lead += len(chapter.text)
    return offsets


def spread(depths: list[float], n: int) -> list[int]:
    """Different indices below ``n`` at the given depths; the next free one where two fall together."""
    chosen: list[int] = []
    for depth in depths:
        index = int(depth * n)
        while index in chosen:
            index = (index + 1) % n
        chosen.append(index)
    return chosen
