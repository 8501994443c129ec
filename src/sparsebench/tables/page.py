"""The columns of every table as text, for the terminal and for docs/tables.md."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from sparsebench import tables

PAGE = (
    "models",
    "predictions",
    "scores",
    "accuracy",
    "effects",
    "tolerance",
    "depth",
    "frontier",
    "iso_cost",
    "scaling",
    "scaling_points",
    "adaptivity",
    "cost_check",
    "measurements",
)


def schema_of(name: str) -> pa.Schema:
    """The schema of the file ``name.arrow``."""
    return getattr(tables, name.upper())


def columns_page() -> Iterator[str]:
    """Lines of Markdown: a table of columns per file of ``PAGE``."""
    for name in PAGE:
        yield from ("", f"### {name}", "", "| column | type | unit | meaning |", "|---|---|---|---|")
        for f in schema_of(name):
            unit, about = (f.metadata.get(key, b"").decode() for key in (b"unit", b"about"))
            yield f"| `{f.name}` | {f.type} | {unit} | {about} |"
