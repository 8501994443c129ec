"""What docs/tables.md claims."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sparsebench.stats.intervals import difference_interval

PAGE = (Path(__file__).parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")


def test_claim_on_the_number_of_samples_that_tolerance_takes() -> None:
    assert "that takes 73 samples" in PAGE
    assert difference_interval(np.zeros(72))[0] < -0.05 <= difference_interval(np.zeros(73))[0]
