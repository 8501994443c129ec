"""Made-up English prose that never repeats a sentence and holds no digit, hyphen or upper-case name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random

from sparsebench.tasks.words import words

_VOWEL = re.compile(r"\b([Aa]) (?=[aeio]|u(?!s|ni)|honest)")
"""An article that lacks its n, given the words of the lists."""

_FORMS = (
    "The {a} {p} {adv} {v} the {b} {n} near the {l}.",
    "Nobody at the {l} knew why the {p} {v} a {b} {n}.",
    "In the {b} light of the {l}, a {p} {v} the {n} and the {m}.",
    "Before the {p} left the {l}, the {q} {adv} {v} every {n}.",
    "It was the {q} who {v} the {a} {n}, while the {p} {w} the {m}.",
    "After supper the {a} {p} {v} the {n} and {adv} {w} the {b} {m}.",
    "Some say that the {p} of the {l} {v} the {n} for a {b} {m}.",
    "When the {m} was {a}, the {q} {adv} {v} the {n} behind the {l}.",
    "A {b} {n} and a {a} {m} were all that the {p} ever {v}.",
)


def with_articles(text: str) -> str:
    """Write "an" for "a" where the next word begins with a vowel."""
    return _VOWEL.sub(r"\1n ", text)


def sentences(draw: Random) -> Iterator[str]:
    """Endless sentences from templates and word lists; each occurs once."""
    nouns, adjectives, verbs = words("nouns"), words("adjectives"), words("verbs")
    adverbs, people, places = words("adverbs"), words("people"), words("places")
    seen: set[str] = set()
    pick = draw.choice
    while True:
        sentence = pick(_FORMS).format(
            n=pick(nouns),
            m=pick(nouns),
            a=pick(adjectives),
            b=pick(adjectives),
            v=pick(verbs),
            w=pick(verbs),
            adv=pick(adverbs),
            p=pick(people),
            q=pick(people),
            l=pick(places),
        )
        if sentence not in seen:
            seen.add(sentence)
            yield with_articles(sentence)
