"""The tables as links that carry their own bytes."""

from __future__ import annotations

import base64
import gzip
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


def downloads(folder: Path) -> list[Download]:
    """Arrow and compressed CSV forms of every table in ``folder``, by name; CSV leaves out columns that hold lists.

    Compressed, because Snakemake's report shows a page as a data URI, which Chromium leaves blank above 2 MiB.
    """
    found: list[Download] = []
    for path in sorted(folder.glob("*.arrow")):
        name = path.stem
        found.append(_download(path.name, path.read_bytes(), "application/vnd.apache.arrow.file"))
        frame = pl.DataFrame(pl.from_arrow(feather.read_table(str(path), memory_map=False)))
        flat = frame.select(c for c, kind in frame.schema.items() if not isinstance(kind, pl.List))
        packed = gzip.compress(flat.write_csv().encode(), mtime=0)
        found.append(_download(f"{name}.csv.gz", packed, "application/gzip"))
    return found


def _download(name: str, content: bytes, kind: str) -> Download:
    small = len(content) <= EMBED_MIB * 2**20
    uri = f"data:{kind};base64,{base64.b64encode(content).decode()}" if small else None
    return Download(name, len(content) / 1024, uri)
