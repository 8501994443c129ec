"""Finished rows of a cell, kept outside Snakemake's outputs so that nothing computed is ever computed again."""

from __future__ import annotations

import errno
import json
import logging
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sparsebench.engine.lock import held
from sparsebench.errors import UserError

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
    """Append-only file of rows, one checked line each, keyed by a digest of what determines the row.

    The digest leaves out what changes rounding alone (:func:`sparsebench.engine.digest.engine_digest`).

    A line is written and flushed to disk in one go. Damaged lines (a job killed while writing, a full disk) are set
    aside in ``<name>.damaged`` and said in the log; their rows are computed again, all others are kept.

    Parameters
    ----------
    path
        The journal file; its folder is made when the first row is added.
    check
        Called before each write; raises when this process may not write any more.
    """

    def __init__(self, path: Path, check: Callable[[], None] = lambda: None) -> None:
        self.path, self._check = path, check
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

    def add(self, key: str, row: Mapping[str, Any]) -> None:
        """Append a row and wait until it is on disk.

        Raises ``UserError`` when it cannot be written; what was written of it is taken back.
        """
        self._check()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab", buffering=0) as file:
            before = file.tell()
            line = _line(key, row)
            try:
                if file.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError as error:
                file.truncate(before)
                raise UserError(
                    f"{self.path}: cannot write ({error.strerror}); the {len(self.rows)} rows in it are safe, "
                    "and the next run goes on from there: make room, or mend the file system, and run again"
                ) from None
        self.rows[key] = dict(row)


@contextmanager
def locked(path: Path) -> Iterator[Journal]:
    """Open the journal at ``path`` for this process alone; waits for another job that writes it."""
    with held(path.with_name(path.name + ".lock")) as check:
        yield Journal(path, check)
