"""Words and templates of several scripts, written for this project: no inflection is needed, words are quoted."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import cycle, pairwise
from random import Random
from typing import Literal

_DASH = re.compile(r"[^\S\n]*[-\u2010-\u2015\u2212][^\S\n]*")

LanguageName = Literal["all", "ru", "el", "ar", "hi", "zh", "ja", "ko"]


@dataclass(frozen=True)
class Language:
    """Templates with named places; ``space`` parts sentences, ``nouns`` are quoted words, ``syllables`` make names."""

    name: str
    space: str
    nouns: list[str]
    syllables: list[str]
    hay: list[str]
    head: str
    needle: str
    question: str
    prefix: str
    qa_head: str
    document: str
    questions: dict[str, str]
    qa_prefix: str


@cache
def languages() -> dict[str, Language]:
    """Every language by its code."""
    content = (files("sparsebench.tasks.words") / "languages.json").read_text(encoding="utf-8")
    return {code: Language(**entry) for code, entry in json.loads(content).items()}


def language_of(name: LanguageName, index: int) -> Language:
    """The language called ``name``; ``all`` takes them in turn over the samples."""
    every = languages()
    return list(every.values())[index % len(every)] if name == "all" else every[name]


def same(text: str) -> str:
    """Text in the form in which answers are compared.

    Unicode NFKC, lower case, digits of any script as 0-9, any hyphen or dash as "-" without spaces around it, no
    invisible marks (of direction, of joining).
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    seen = (c for c in folded if unicodedata.category(c) != "Cf")
    return _DASH.sub("-", "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in seen))


class Terms:
    """Draws joined nouns and names of a language, none twice."""

    def __init__(self, language: Language, draw: Random) -> None:
        self._language = language
        self._draw = draw
        self._seen: set[str] = set()
        self._parts: set[tuple[str, ...]] = set()

    def joined(self, n: int) -> str:
        """``n`` different nouns joined by hyphens; of two nouns given before none stand together in it."""
        while True:
            nouns = self._draw.sample(self._language.nouns, n)
            term = "-".join(nouns)
            if term not in self._seen and not any("-".join(pair) in self._seen for pair in pairwise(nouns)):
                self._seen.add(term)
                return term

    def name(self, syllables: int) -> str:
        """A made-up name of four syllables or more, that is no part of another."""
        while True:
            chosen = self._draw.choices(self._language.syllables, k=syllables)
            parts = {tuple(chosen[i : i + 4]) for i in range(syllables - 3)}
            if not parts & self._parts:
                self._parts |= parts
                return "".join(chosen).capitalize()


def short(language: Language) -> Iterator[str]:
    """The nouns one after the other, to close a gap that is too small for a sentence."""
    return cycle(f"{noun} " for noun in language.nouns)


def hay(language: Language, draw: Random) -> Iterator[str]:
    """Endless sentences on quoted nouns, in paragraphs; no sentence twice."""
    seen: set[str] = set()
    while True:
        a, b, c = draw.sample(language.nouns, 3)
        sentence = draw.choice(language.hay).format(a=a, b=b, c=c)
        if sentence not in seen:
            seen.add(sentence)
            yield sentence + ("\n\n" if len(seen) % 6 == 0 else language.space)
