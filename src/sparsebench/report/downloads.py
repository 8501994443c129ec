"""The tables as links that carry their own bytes."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow.feather as feather

# Larger tables would make the page slow to open; they are named instead.
EMBED_MIB = 8


@dataclass(frozen=True)
class Download:
    """One table: a file name and what it holds, with the bytes as a data URI unless it is too large."""

    name: str
    size_kib: float
    uri: str | None


def downloads(folder: Path, names: tuple[str, ...]) -> list[Download]:
    """Arrow and CSV forms of the tables in ``folder``; CSV leaves out columns that hold lists."""
    found: list[Download] = []
    for name in names:
        arrow = (folder / f"{name}.arrow").read_bytes()
        found.append(_download(f"{name}.arrow", arrow, "application/vnd.apache.arrow.file"))
        frame = pl.DataFrame(pl.from_arrow(feather.read_table(str(folder / f"{name}.arrow"), memory_map=False)))
        flat = frame.select(c for c, kind in frame.schema.items() if not isinstance(kind, pl.List))
        found.append(_download(f"{name}.csv", flat.write_csv().encode(), "text/csv"))
    return found


def _download(name: str, content: bytes, kind: str) -> Download:
    small = len(content) <= EMBED_MIB * 2**20
    uri = f"data:{kind};base64,{base64.b64encode(content).decode()}" if small else None
    return Download(name, len(content) / 1024, uri)
