"""Charts by name. Cheap to import: Snakemake reads this at every start, so it looks at file names alone."""

from __future__ import annotations

from pathlib import Path

from sparsebench.errors import unknown

GALLERY = Path(__file__).parent / "gallery"


def chart_names() -> list[str]:
    """Names of all charts, sorted: the files of the gallery."""
    return sorted(path.stem for path in GALLERY.glob("*.py") if path.stem != "__init__")


def chart_file(name: str) -> Path:
    """File of the chart ``name``; ``UserError`` if there is none."""
    if name not in chart_names():
        raise unknown("chart", name, chart_names())
    return GALLERY / f"{name}.py"
