"""Names are endless, and none stands within another."""

from __future__ import annotations

from itertools import islice

from sparsebench.tasks.draw import Draw
from sparsebench.tasks.names import people, places


def test_no_name_holds_another() -> None:
    draw = Draw(1, 0, "series")
    names = [*islice(places(draw), 4000), *islice(people(draw), 4000)]  # more than a story of 256K tokens tells
    known = set(names)
    double = [name for name in names if " " in name]
    assert len(known) == len(names) and len(double) > 4000
    assert not [name for name in double if known & set(name.split())]
