"""Finished rows of a cell, kept outside Snakemake's outputs so that nothing computed is ever computed again."""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

log = logging.getLogger("sparsebench")


def _line(key: str, row: Mapping[str, Any]) -> bytes:
    body = json.dumps([key, row], ensure_ascii=False, sort_keys=True)
    return f"{zlib.crc32(body.encode()):08x} {body}\n".encode()


def _parse(line: bytes) -> tuple[str, dict[str, Any]] | None:
    crc, _, body = line.rstrip(b"\n").partition(b" ")
    try:
        if int(crc, 16) != zlib.crc32(body):
            return None
        key, row = json.loads(body)
    except (ValueError, UnicodeDecodeError):
        return None
    return (key, row) if isinstance(key, str) and isinstance(row, dict) else None


class Journal:
    """Append-only file of rows, one checked line each, keyed by a digest of all that determines the row.

    A line is written and flushed to disk in one go. Damaged lines (a job killed while writing, a full disk) are set
    aside in ``<name>.damaged`` and said in the log; their rows are computed again, all others are kept.

    Parameters
    ----------
    path
        The journal file; its folder is made when the first row is added.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, dict[str, Any]] = {}
        if path.exists():
            self._read()

    def _read(self) -> None:
        good, bad = [], []
        for line in self.path.read_bytes().splitlines(keepends=True):
            entry = _parse(line) if line.endswith(b"\n") else None
            if entry is None:
                bad.append(line)
            else:
                self.rows[entry[0]] = entry[1]
                good.append(line)
        if not bad:
            return
        aside = self.path.with_name(self.path.name + ".damaged")
        with aside.open("ab") as file:
            file.writelines(line if line.endswith(b"\n") else line + b"\n" for line in bad)
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.partial")
        partial.write_bytes(b"".join(good))
        partial.replace(self.path)
        log.warning(
            "%s: %d damaged line(s) set aside in %s; %d rows are intact, the damaged ones are computed again",
            self.path, len(bad), aside.name, len(good),
        )  # fmt: skip

    def add(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Append rows and wait until they are on disk."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(b"".join(_line(key, row) for key, row in rows.items()))
            file.flush()
            os.fsync(file.fileno())
        self.rows.update({key: dict(row) for key, row in rows.items()})


@contextmanager
def locked(path: Path) -> Iterator[Journal]:
    """Open the journal at ``path`` for this process alone.

    The lock belongs to an open file, so it ends with its process however that ends. Raises ``UserError`` naming the
    owner when another job holds it.
    """
    import fcntl

    from sparsebench.errors import UserError

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            raise UserError(f"{path}: another job writes this journal ({owner}); wait for it or end it") from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {os.uname().nodename}")
        lock.flush()
        yield Journal(path)
