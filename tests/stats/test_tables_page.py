"""docs/tables.md names every column with the meaning that the schema states."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sparsebench.stats.intervals import difference_interval
from sparsebench.tables.page import PAGE as NAMES
from sparsebench.tables.page import schema_of

PAGE = (Path(__file__).parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_page_and_schema_agree(name: str) -> None:
    schema = schema_of(name)
    section = PAGE.split(f"### {name}\n")[1].split("### ")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    documented = [(row[0].strip("|` "), row[1], row[2].strip(), row[3].removesuffix(" |")) for row in rows]
    stated = [
        (f.name, str(f.type), f.metadata.get(b"unit", b"").decode(), f.metadata[b"about"].decode()) for f in schema
    ]
    assert documented == stated


def test_claim_on_the_number_of_samples_that_tolerance_takes() -> None:
    assert "that takes 73 samples" in PAGE
    assert difference_interval(np.zeros(72))[0] < -0.05 <= difference_interval(np.zeros(73))[0]
