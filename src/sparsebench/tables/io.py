"""The one way to write and read tables: whole or not at all, and checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather

from sparsebench.errors import UserError


def write_table(table: pa.Table, path: Path, provenance: Mapping[str, str] | None = None) -> None:
    """Write an Arrow IPC file (Feather v2) at once or not at all; ``provenance`` goes into the schema metadata."""
    meta = {**(table.schema.metadata or {}), **{k.encode(): v.encode() for k, v in (provenance or {}).items()}}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        feather.write_feather(table.replace_schema_metadata(meta), str(partial), compression="zstd")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """Read an Arrow IPC file that must have ``schema``'s columns; ``UserError`` if it is missing or damaged."""
    try:
        table = feather.read_table(str(path), memory_map=False)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(
            f"{path}: not a readable Arrow file ({error}); delete it and run again to make it anew"
        ) from None
    if table.schema.names != schema.names:
        raise UserError(
            f"{path}: columns {table.schema.names}, expected {schema.names}; "
            "it was written by another version: delete it and run again"
        )
    return table.cast(schema.with_metadata(table.schema.metadata))
