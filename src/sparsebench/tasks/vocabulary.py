"""Single words for counting tasks: none is part of another, and there are as many as are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from random import Random

from sparsebench.tasks.words import words

_LISTS = ("nouns", "adjectives", "verbs", "adverbs", "people", "places")
_CONSONANTS = "bdfgklmnprstvz"
_VOWELS = "aeiou"
_SHORTEST = 4


@cache
def listed_words() -> tuple[str, ...]:
    """Shipped words of at least four letters that are not part of another shipped word."""
    all_words = {word for name in _LISTS for word in words(name)}
    parts = {
        word[i:j]
        for word in all_words
        for i in range(len(word))
        for j in range(i + _SHORTEST, len(word) + 1)
        if j - i < len(word)
    }
    return tuple(sorted(word for word in all_words - parts if len(word) >= _SHORTEST))


def vocabulary(draw: Random, without: frozenset[str] = frozenset()) -> Iterator[str]:
    """Endless different words: the shipped ones in random order, then made-up ones of seven letters.

    No word is a part of another, so that finding one in a text cannot be due to another.
    """
    listed = [word for word in listed_words() if word not in without]
    draw.shuffle(listed)
    yield from listed
    seen = set(listed) | without
    while True:
        word = "".join(draw.choice(_VOWELS if i % 2 else _CONSONANTS) for i in range(7))
        parts = {word[i:j] for i in range(len(word)) for j in range(i + _SHORTEST, len(word) + 1)}
        if not parts & seen:
            seen.add(word)
            yield word
