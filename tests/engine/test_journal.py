"""Nothing that a journal holds is lost, whatever happened to its file."""

from __future__ import annotations

import multiprocessing

import pytest

from sparsebench.engine.journal import Journal, locked
from sparsebench.errors import UserError

ROWS = {f"key{i}": {"text": f"é {i}\nline", "n": i} for i in range(5)}


@pytest.fixture
def path(tmp_path):
    journal = Journal(tmp_path / "deep" / "cell.jsonl")
    for key, row in ROWS.items():
        journal.add({key: row})
    return journal.path


def test_rows_come_back_as_they_were(path):
    assert Journal(path).rows == ROWS


def test_a_torn_last_line_loses_only_itself(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    assert Journal(path).rows == {k: v for k, v in ROWS.items() if k != "key4"}
    again = Journal(path)
    again.add({"key4": ROWS["key4"]})
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


def _hold(path, ready, done):
    with locked(path):
        ready.set()
        done.wait(20)


def test_two_jobs_never_write_one_journal(path):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(path, ready, done))
    other.start()
    assert ready.wait(20)
    with pytest.raises(UserError, match=f"process {other.pid}"), locked(path):
        pass
    done.set()
    other.join(20)
    with locked(path) as journal:
        assert journal.rows == ROWS
