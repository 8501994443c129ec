"""What charts and the report read: the tables of one run."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import polars as pl
import pyarrow as pa

from sparsebench.tables import ACCURACY, FRONTIER, read_table


class Tables:
    """The tables in a folder, each read when first asked for.

    Parameters
    ----------
    folder
        Where ``accuracy.arrow`` and ``frontier.arrow`` lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _read(self, name: str, schema: pa.Schema) -> pl.DataFrame:
        return pl.DataFrame(pl.from_arrow(read_table(self.folder / f"{name}.arrow", schema)))

    @cached_property
    def accuracy(self) -> pl.DataFrame:
        """One line per model, task, length and configuration (``ACCURACY``)."""
        return self._read("accuracy", ACCURACY)

    @cached_property
    def frontier(self) -> pl.DataFrame:
        """One line per model, length, phase and configuration, over the tasks with signal (``FRONTIER``)."""
        return self._read("frontier", FRONTIER)
