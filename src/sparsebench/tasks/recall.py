"""What is compared as a set: RULER's recall of reference strings, the study's intersection over union."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence

_CONTROL = re.compile(r"[\x00-\x1f]")


def recall(prediction: str, references: Sequence[str]) -> float:
    """Share of ``references`` that occur in ``prediction``, upper and lower case alike (RULER's ``string_match_all``).

    Source: RULER (arXiv:2404.06654), appendix B. As there, a reference counts wherever it occurs, in any order, once.
    Control characters (below the space) in the prediction count as line breaks.
    """
    text = _CONTROL.sub("\n", prediction).lower()
    return sum(reference.lower() in text for reference in references) / len(references)


def iou(listed: Iterable[Hashable], references: Iterable[Hashable]) -> float:
    """Intersection over union of what is listed and the references, which are at least one.

    Source: the study (arXiv:2504.17768), which scores variable tracking, common words and story filtering by it.
    """
    said, gold = set(listed), set(references)
    return len(said & gold) / len(said | gold)
