"""RULER's metric: the share of reference strings that occur in the prediction."""

from __future__ import annotations

from collections.abc import Sequence


def recall(prediction: str, references: Sequence[str]) -> float:
    """Share of ``references`` that occur in ``prediction``, upper and lower case alike (RULER's ``string_match_all``).

    Source: RULER (arXiv:2404.06654), appendix B. As there, a reference counts wherever it occurs, in any order, once.
    Control characters in the prediction count as line breaks.
    """
    text = "".join(c if c.isprintable() else "\n" for c in prediction).lower()
    return sum(reference.lower() in text for reference in references) / len(references)
