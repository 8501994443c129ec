"""What golden cases of scorers look like: text, expected value, and FAILED if no answer can be found in the text."""

from __future__ import annotations

import pytest

from sparsebench.tasks.base import Score

FAILED = "parse failed"
Case = tuple[str, float] | tuple[str, float, str]


def check(score: Score, case: Case) -> None:
    """The score is the expected one."""
    assert score.value == pytest.approx(case[1])
    assert score.parse_failed == (len(case) == 3)
