"""What charts and the report are made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Tables:
    """The tables ``accuracy`` (schema ``ACCURACY``) and ``frontier`` (schema ``FRONTIER``)."""

    accuracy: pl.DataFrame
    frontier: pl.DataFrame


def load_tables(folder: Path) -> Tables:
    """Read ``accuracy.arrow`` and ``frontier.arrow`` from a folder; ``UserError`` if one is missing or damaged."""
    import polars as pl

    from sparsebench.tables import ACCURACY, FRONTIER, read_table

    accuracy = read_table(folder / "accuracy.arrow", ACCURACY)
    frontier = read_table(folder / "frontier.arrow", FRONTIER)
    return Tables(pl.DataFrame(pl.from_arrow(accuracy)), pl.DataFrame(pl.from_arrow(frontier)))
