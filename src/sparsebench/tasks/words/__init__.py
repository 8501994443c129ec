"""Word lists that ship with the package, one lower-case word a line; written for this project."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def words(name: str) -> tuple[str, ...]:
    """Words of the list ``name``, a file of this folder: ``nouns``, ``adjectives``, ``verbs`` ..."""
    return tuple((files(__name__) / f"{name}.txt").read_text(encoding="utf-8").split())
