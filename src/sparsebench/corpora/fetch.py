"""Fetches corpora: downloads are resumed, checked against their digest, and put in place at once."""

from __future__ import annotations

import csv
import hashlib
import logging
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from sparsebench.corpora.formats import Format, read_corpus, shipped
from sparsebench.errors import UserError, unknown

log = logging.getLogger("sparsebench")

_COLUMNS = ["name", "format", "url", "sha256", "licence", "citation"]
_CHUNK = 1 << 20
_TRIES = 4


@dataclass(frozen=True)
class Source:
    """One line of ``resources/sources.tsv``.

    An empty ``sha256`` means that this project has not verified the file: its digest is recorded when it is first
    fetched, and later fetches are held to it.
    """

    name: str
    form: Format
    url: str
    sha256: str
    licence: str
    citation: str


def read_sources(path: Path) -> dict[str, Source]:
    """Sources by name; ``UserError`` naming the line that is wrong."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    found: dict[str, Source] = {}
    reader = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    if reader.fieldnames != _COLUMNS:
        raise UserError(f"{path}: columns {reader.fieldnames}, expected {_COLUMNS}")
    for number, row in enumerate(reader, start=2):
        if None in row or None in row.values():
            raise UserError(f"{path}: line {number}: expected {len(_COLUMNS)} columns parted by tabs")
        if row["format"] not in get_args(Format):
            raise unknown("corpus format", row["format"], get_args(Format), f"{path}: line {number}")
        found[row["name"]] = Source(row["name"], row["format"], *(row[column] for column in _COLUMNS[2:]))  # type: ignore[arg-type]
    return found


def check_overrides(overrides: Mapping[str, str], sources: Path) -> None:
    """``UserError`` if ``corpora:`` of the config names a corpus that ``sources`` does not have."""
    known = read_sources(sources)
    for name in overrides:
        if name not in known:
            raise unknown("corpus", name, known, "the config: corpora")


def fetch_corpus(name: str, output: Path, sources: Path, overrides: Mapping[str, str] | None = None) -> None:
    """Put corpus ``name`` at ``output``, from the network or from where ``overrides`` says.

    Parameters
    ----------
    name
        Name in ``sources``.
    output
        File to write; an unfinished download waits beside it and is resumed.
    sources
        ``resources/sources.tsv``.
    overrides
        ``corpora:`` of the config: paths by name for machines without network; ``shipped`` means the small corpus
        that comes with the package. Given files are read in the published format, their digest is not checked.

    Raises
    ------
    UserError
        Unknown name, unreachable address, wrong digest, or a file that is not in the published format.
    """
    known = read_sources(sources)
    if name not in known:
        raise unknown("corpus", name, known, str(sources))
    source = known[name]
    output.parent.mkdir(parents=True, exist_ok=True)
    given = (overrides or {}).get(name)
    if given is not None:
        path = shipped(source.form) if given == "shipped" else Path(given).expanduser()
        read_corpus(path, source.form)
        _place_copy(path, output)
        return
    partial = output.with_name(f".{output.name}.partial")
    _download(source, partial)
    try:
        _accept(source, partial, output.with_name(f"{output.name}.sha256"))
    except UserError:
        # Nothing of it is worth going on from.
        partial.unlink()
        raise
    partial.replace(output)
    log.info("corpus %s: %s, licence %s; please cite: %s", name, output, source.licence, source.citation)


def _accept(source: Source, partial: Path, record: Path) -> None:
    """Hold a download to the digest of the sources, else to the one recorded at the first fetch, else record it."""
    digest = _digest(partial)
    expected, whose = source.sha256, f"the sources of this version say {source.sha256}"
    if not expected and record.exists():
        expected = record.read_text(encoding="utf-8").strip()
        whose = f"the first fetch, recorded in {record}, had {expected}"
    if expected and digest != expected:
        raise UserError(
            f"corpus {source.name}: {source.url} has sha256 {digest}, but {whose}; the publisher's file has changed or "
            f"the download is damaged: try again, or name a copy of yours under `corpora: {{{source.name}: path}}`"
        )
    try:
        read_corpus(partial, source.form)
    except UserError as error:
        raise UserError(f"corpus {source.name}: {source.url} sent something else: {error}") from None
    if not expected:
        record.write_text(f"{digest}\n", encoding="utf-8")
        log.warning(
            "corpus %s is not pinned: its sha256 %s is recorded in %s, and later fetches are held to it",
            source.name,
            digest,
            record,
        )


def _place_copy(path: Path, output: Path) -> None:
    temporary = output.with_name(f".{output.name}.{os.getpid()}.copy")
    try:
        shutil.copyfile(path, temporary)
        temporary.replace(output)
    finally:
        temporary.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(source: Source, partial: Path) -> None:
    """Download to ``partial``, going on where an earlier download stopped."""
    for attempt in range(_TRIES):
        try:
            _download_once(source.url, partial)
            return
        except (OSError, urllib.error.URLError) as error:
            refused = isinstance(error, urllib.error.HTTPError) and 400 <= error.code < 500
            if refused or attempt == _TRIES - 1:
                raise UserError(
                    f"corpus {source.name}: cannot fetch {source.url} ({error}); on a machine without network name a "
                    f"copy under `corpora: {{{source.name}: path}}` in the config, or `shipped` for the small one"
                ) from None
            log.info("corpus %s: %s; trying again", source.name, error)
            time.sleep(2**attempt * _pause())


def _pause() -> float:
    """Seconds before the second try; each later one waits twice as long."""
    return float(os.environ.get("SPARSEBENCH_RETRY_PAUSE_S", "1"))


def _download_once(url: str, partial: Path) -> None:
    have = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "sparsebench"} | _range(have))
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            resumed = have > 0 and response.status == 206
            expected = int(response.headers.get("Content-Length", -1))
            received = 0
            with partial.open("ab" if resumed else "wb") as file:
                while chunk := response.read(_CHUNK):
                    file.write(chunk)
                    received += len(chunk)
    except urllib.error.HTTPError as error:
        # Nothing is left to send: the earlier download was whole.
        if error.code == 416 and have:
            return
        raise
    if received < expected:
        raise ConnectionError(f"the connection ended after {received} of {expected} bytes")


def _range(have: int) -> dict[str, str]:
    return {"Range": f"bytes={have}-"} if have else {}
