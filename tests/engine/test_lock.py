"""Two jobs never write one journal; a dead job's lock stops nobody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from sparsebench.engine import lock
from sparsebench.engine.journal import locked
from sparsebench.engine.lock import Pace, held
from sparsebench.errors import UserError

FAST = Pace(beat=0.1, dead=1.0, look=0.02, say=60)
HOLDER = """
import sys
from pathlib import Path
from sparsebench.engine.lock import Pace, held

with held(Path(sys.argv[1]), Pace(beat=0.1)):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "x.lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process


def test_the_second_waits_for_the_first_and_says_for_whom(tmp_path, other, caplog):
    began = time.monotonic()
    threading.Timer(0.5 + 2 * FAST.dead, other.stdin.close).start()  # longer than a dead owner would be waited for
    with caplog.at_level("WARNING", logger="sparsebench"), held(tmp_path / "x.lock", FAST):
        assert time.monotonic() - began > FAST.dead
        assert f"held by process {other.pid} on {os.uname().nodename}" in caplog.text
    assert "broke" not in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_broken_at_once(tmp_path, other, caplog):
    os.kill(other.pid, signal.SIGKILL)
    began = time.monotonic()
    with caplog.at_level("WARNING", logger="sparsebench"), held(tmp_path / "x.lock", Pace(dead=60, look=0.02)):
        assert time.monotonic() - began < 60  # not waited for
    assert f"broke the lock of process {other.pid}" in caplog.text and "it has ended" in caplog.text


def _lock_of_another_node(path, touched):
    path.write_text(json.dumps({"host": "n7/pid:[1]", "pid": 1, "born": 0.0, "job": "4711", "token": "t"}))
    os.utime(path, (touched, touched))


def test_a_silent_owner_on_another_node_is_dead_after_a_while(tmp_path, caplog):
    path = tmp_path / "x.lock"
    began = time.monotonic()
    _lock_of_another_node(path, time.time())
    with caplog.at_level("WARNING", logger="sparsebench"), held(path, FAST):
        assert time.monotonic() - began > 0.9 * FAST.dead
    assert "held by process 1 on n7, SLURM job 4711" in caplog.text
    assert "broke the lock of process 1 on n7, SLURM job 4711: no sign of life" in caplog.text


def test_a_process_that_got_a_dead_ones_number_is_not_taken_for_it(tmp_path):
    path = tmp_path / "x.lock"
    path.write_text(json.dumps({"host": lock._host(), "pid": os.getppid(), "born": 1.0, "job": None, "token": "t"}))
    with held(path, Pace(dead=60, look=0.02)):
        pass


def test_one_of_many_holds_it(tmp_path):
    """Threads stand for jobs; each adds to a file that only one may write at a time."""
    _lock_of_another_node(tmp_path / "x.lock", time.time() - 1000)
    inside, worst = [], []

    def work():
        with held(tmp_path / "x.lock", FAST):
            inside.append(1)
            worst.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert worst == [1] * 12


def test_of_two_that_see_a_dead_lock_the_later_leaves_the_earlier_ones(tmp_path):
    path = tmp_path / "x.lock"
    _lock_of_another_node(path, time.time() - 1000)
    dead, _ = lock._read(path)
    me = lock.Owner("n1", 1, 0.0, None, "me")
    assert lock._break(path, dead, me, FAST) and not path.exists()
    with held(path, FAST) as check:
        assert not lock._break(path, dead, me, FAST)
        check()
    assert not list(tmp_path.iterdir())


def test_one_that_was_killed_while_it_broke_a_lock_is_no_hindrance(tmp_path):
    path, turn = tmp_path / "x.lock", tmp_path / ".x.lock.breaking"
    for file in (path, turn):
        _lock_of_another_node(file, time.time() - 1000)
    with held(path, FAST) as check:
        check()
    assert not list(tmp_path.iterdir())


def test_an_owner_that_was_taken_for_dead_writes_no_more(tmp_path):
    journal = tmp_path / "cell.jsonl"
    with locked(journal) as book:
        book.add("one", {"n": 1})
        (tmp_path / "cell.jsonl.lock").unlink()
        _lock_of_another_node(tmp_path / "cell.jsonl.lock", time.time())
        with pytest.raises(UserError, match="taken for dead"):
            book.add("two", {"n": 2})
    assert journal.read_text().count("\n") == 1
    assert (tmp_path / "cell.jsonl.lock").exists()  # the other's
