"""The tables as links that carry their own bytes, as far as they fit."""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow.feather as feather


@dataclass(frozen=True)
class Download:
    """One table: a file name and what it holds, with the bytes as a data URI unless there was no room."""

    name: str
    size_kib: float
    uri: str | None


def downloads(folder: Path, room: int) -> list[Download]:
    """Arrow and compressed CSV forms of every table in ``folder``, by name; CSV leaves out columns that hold lists.

    Parameters
    ----------
    room
        Bytes that all data URIs together may take: the smallest files come first, the others are named without bytes.
    """
    found: dict[str, tuple[str, bytes]] = {}
    for path in sorted(folder.glob("*.arrow")):
        found[path.name] = ("application/vnd.apache.arrow.file", path.read_bytes())
        frame = pl.DataFrame(pl.from_arrow(feather.read_table(str(path), memory_map=False)))
        flat = frame.select(c for c, kind in frame.schema.items() if not isinstance(kind, pl.List))
        found[f"{path.stem}.csv.gz"] = ("application/gzip", gzip.compress(flat.write_csv().encode(), mtime=0))
    links: dict[str, str] = {}
    for name, (kind, content) in sorted(found.items(), key=lambda item: len(item[1][1])):
        uri = f"data:{kind};base64,{base64.b64encode(content).decode()}"
        if len(uri) > room:
            break
        room -= len(uri)
        links[name] = uri
    return [Download(name, len(content) / 1024, links.get(name)) for name, (_, content) in sorted(found.items())]
