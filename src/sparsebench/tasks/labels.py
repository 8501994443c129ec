"""Keys and values that occur nowhere else: hex codes, word pairs, numbers."""

from __future__ import annotations

import re
from functools import cache
from random import Random
from typing import Literal

from sparsebench.errors import UserError
from sparsebench.tasks.draw import belongs
from sparsebench.tasks.words import words

Kind = Literal["hex", "word", "number"]

SHAPES: dict[str, re.Pattern[str]] = {
    "hex": re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{8}){3}", re.IGNORECASE),
    "word": re.compile(r"[a-z]+-[a-z]+", re.IGNORECASE),
    "number": re.compile(r"\d{7}"),
}
"""What a label of each kind looks like: four groups of eight hex digits, adjective-noun, seven digits."""

NOUNS: dict[str, str] = {"hex": "code", "word": "password", "number": "number"}
"""What a value of each kind is called in the prompts."""

_MOST_TRIES = 1_000_000
"""Draws in a row without a new label after which none is left: among 10^5 word pairs each is drawn ten times."""

_FEW_TRIES = 40
"""Draws in a row without a new label after which a training sample takes more words."""


@cache
def _adjectives() -> tuple[str, ...]:
    """Listed adjectives that do not end another one, as "old" ends "bold"."""
    listed = words("adjectives")
    return tuple(word for word in listed if not any(other != word and other.endswith(word) for other in listed))


class Labels:
    """Draws labels, none of them twice.

    All labels of one kind have one shape, so that none is a part of another: hex codes and numbers have a fixed
    length, no adjective used ends another one, and no noun begins another one.
    """

    def __init__(self, draw: Random) -> None:
        self._draw = draw
        self._seen: set[str] = set()
        self._adjectives, self._nouns = _adjectives(), words("nouns")
        # Half of the training samples use few words, so that most nouns occur in several pairs: a model that looks at
        # one word of a pair alone is then wrong more often than not.
        self._few = getattr(draw, "training", False) and draw.random() < 0.5
        if self._few:
            self._adjectives, self._nouns = (), ()
            self._widen()

    def _widen(self) -> None:
        """Add words to the few of a training sample, which a long text uses up."""
        self._adjectives += tuple(self._draw.sample(_adjectives(), 60))
        self._nouns += tuple(self._draw.sample(words("nouns"), 40))

    def new(self, kind: Kind) -> str:
        """A label of ``kind`` that this object has not given before and that belongs to its draw.

        Raises
        ------
        UserError
            If all labels of the kind are given away.
        """
        for tries in range(1, _MOST_TRIES + 1):
            label = self._make(kind)
            if label not in self._seen and belongs(self._draw, label):
                self._seen.add(label)
                return label
            if self._few and tries % _FEW_TRIES == 0:
                self._widen()
        raise UserError(
            f"no {kind} labels are left after {len(self._seen):,} labels in one text; "
            "set key_kind and value_kind to number or hex, of which there are more, or shorten `lengths`"
        )

    def _make(self, kind: Kind) -> str:
        if kind == "hex":
            digits = f"{self._draw.getrandbits(128):032x}"
            return "-".join(digits[i : i + 8] for i in range(0, 32, 8))
        if kind == "number":
            return str(self._draw.randrange(1_000_000, 10_000_000))
        return f"{self._draw.choice(self._adjectives)}-{self._draw.choice(self._nouns)}"
