"""Charts by name. Cheap to import: Snakemake reads this at every start, so it looks at file names alone."""

from __future__ import annotations

import ast
from pathlib import Path

from sparsebench.errors import UserError, unknown

GALLERY = Path(__file__).parent / "gallery"


def chart_names() -> list[str]:
    """Names of all charts, sorted: the files of the gallery."""
    return sorted(path.stem for path in GALLERY.glob("*.py") if path.stem != "__init__")


def chart_file(name: str) -> Path:
    """File of the chart ``name``; ``UserError`` if there is none."""
    if name not in chart_names():
        raise unknown("chart", name, chart_names())
    return GALLERY / f"{name}.py"


def chart_caption(name: str) -> str:
    """Caption of the chart ``name``, read without importing it."""
    for node in ast.parse(chart_file(name).read_text()).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "CAPTION" for t in node.targets):
            return str(ast.literal_eval(node.value))
    raise UserError(f"{chart_file(name)}: states no CAPTION; allowed: a module that describes its chart")
