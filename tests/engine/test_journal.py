"""Nothing that a journal holds is lost, whatever happened to its file."""

from __future__ import annotations

import resource
import signal

import pytest

from sparsebench.engine.journal import Journal
from sparsebench.errors import UserError

ROWS = {f"key{i}": {"text": f"é {i}\nline", "n": i} for i in range(5)}


@pytest.fixture
def path(tmp_path):
    journal = Journal(tmp_path / "deep" / "cell.jsonl")
    for key, row in ROWS.items():
        journal.add(key, row)
    return journal.path


def test_rows_come_back_as_they_were(path):
    assert Journal(path).rows == ROWS


def test_a_torn_last_line_loses_only_itself(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    assert Journal(path).rows == {k: v for k, v in ROWS.items() if k != "key4"}
    again = Journal(path)
    again.add("key4", ROWS["key4"])
    assert Journal(path).rows == ROWS


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"00000000", b"\n\n"])
def test_a_damaged_line_is_set_aside_and_said(path, damage, caplog):
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = damage + lines[2][len(damage) :]
    path.write_bytes(b"".join(lines))
    with caplog.at_level("WARNING", logger="sparsebench"):
        rows = Journal(path).rows
    assert rows == {k: v for k, v in ROWS.items() if k != "key2"}
    assert "set aside" in caplog.text
    assert path.with_name("cell.jsonl.damaged").exists()
    assert Journal(path).rows == rows


def test_a_full_disk_loses_no_finished_row_and_says_what_to_do(path):
    """RLIMIT_FSIZE stands for the disk: the line is cut in the middle, as on a disk that fills up."""
    size = path.stat().st_size
    journal = Journal(path)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 30, hard))
    try:
        with pytest.raises(UserError, match=r"cannot write.*the 5 rows in it are safe"):
            journal.add("key5", {"text": "x" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert path.stat().st_size == size
    assert Journal(path).rows == ROWS
