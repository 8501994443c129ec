"""A lock that says who holds it, is seen by all nodes of a cluster, and does not outlive its owner.

``flock`` keeps silent about its owner, and many cluster file systems do not carry it from node to node. This lock is a
file, created only where there is none. It names its owner, who touches it as long as it lives: once its age grows,
nobody holds it, on whatever node the owner was.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from sparsebench.errors import UserError

log = logging.getLogger("sparsebench")


@dataclass(frozen=True)
class Pace:
    """Seconds: how often an owner touches its lock, how old one is dead, how often to look, how often to say so."""

    beat: float = 10
    dead: float = 120
    look: float = 1
    say: float = 60


@dataclass(frozen=True)
class Owner:
    """A process somewhere on the cluster.

    ``born`` (seconds since the epoch) tells it from a later process of its number, ``token`` this lock from its others.
    """

    host: str
    pid: int
    born: float
    job: str | None
    token: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host.split('/')[0]}" + (f", SLURM job {self.job}" if self.job else "")

    def is_gone(self) -> bool:
        """Whether it is known to have ended; nothing is known of a process on another machine."""
        if self.host != _host():
            return False
        try:
            process = psutil.Process(self.pid)
            return process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - self.born) > 60
        except psutil.NoSuchProcess:
            return True


def _host() -> str:
    """This machine; containers that number processes for themselves count as machines of their own."""
    numbers = Path("/proc/self/ns/pid")
    return f"{os.uname().nodename}/{numbers.readlink()}" if numbers.is_symlink() else os.uname().nodename


def _read(lock: Path) -> tuple[Owner | None, float] | None:
    """Owner (None: not told yet) and age in seconds by the file system's own clock; None when there is no lock."""
    probe = lock.with_name(f".{lock.name}.{os.getpid()}.clock")
    try:
        text = lock.read_text()
        touched = lock.stat().st_mtime
        probe.touch()
        age = probe.stat().st_mtime - touched
    except FileNotFoundError:
        return None
    finally:
        probe.unlink(missing_ok=True)
    return _parse(text), age


def _parse(text: str) -> Owner | None:
    try:
        return Owner(**json.loads(text))
    except (ValueError, TypeError):
        return None


def _break(lock: Path, owner: Owner | None, me: Owner, pace: Pace) -> bool:
    """Remove a dead owner's lock, unless somebody else has; whether it is gone.

    One at a time: of two that both saw it, the later would remove the lock that the earlier has taken since.
    """
    turn = lock.with_name(f".{lock.name}.breaking")
    if not _take(turn, me):
        found = _read(turn)
        if found is not None and found[1] > pace.dead:  # killed right there
            turn.unlink(missing_ok=True)
        return False
    try:
        found = _read(lock)
        if found is not None and found[0] == owner:
            lock.unlink(missing_ok=True)
            return True
        return False
    finally:
        turn.unlink(missing_ok=True)


def _take(lock: Path, me: Owner) -> bool:
    try:
        with lock.open("x") as file:
            file.write(json.dumps(asdict(me)))
    except FileExistsError:
        return False
    except OSError:
        lock.unlink(missing_ok=True)
        raise
    return True


def _acquire(lock: Path, me: Owner, pace: Pace) -> None:
    said = -pace.say
    while not _take(lock, me):
        found = _read(lock)
        if found is None:
            continue
        owner, age = found
        gone = owner is not None and owner.is_gone()
        if gone or age > pace.dead:
            why = "it has ended" if gone else f"no sign of life for {age:.0f} s"
            if _break(lock, owner, me, pace):
                log.warning("%s: broke the lock of %s: %s", lock, owner or "an unknown owner", why)
            else:
                time.sleep(pace.look)
        elif time.monotonic() - said >= pace.say:
            said = time.monotonic()
            log.warning("%s: held by %s, which showed life %.0f s ago: waiting for it", lock, owner, max(age, 0))
        else:
            time.sleep(pace.look)


@contextmanager
def held(lock: Path, pace: Pace = Pace()) -> Iterator[Callable[[], None]]:
    """Hold ``lock`` for this process alone; waits as long as its owner lives, and says so.

    Yields a function to call before each write that the lock protects: it raises ``UserError`` when the lock was lost,
    as after a suspension that others took for death.
    """
    me = Owner(
        _host(), os.getpid(), psutil.Process().create_time(), os.environ.get("SLURM_JOB_ID"), secrets.token_hex(8)
    )
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        _acquire(lock, me, pace)
    except OSError as error:
        raise UserError(
            f"{lock}: cannot take this lock ({error.strerror}); make room, or mend the file system"
        ) from None
    ended = threading.Event()

    def is_mine() -> bool:
        try:
            return _parse(lock.read_text()) == me
        except FileNotFoundError:
            return False

    def beat() -> None:
        while not ended.wait(pace.beat):
            with suppress(OSError):
                if is_mine():
                    os.utime(lock)

    def check() -> None:
        if not is_mine():
            raise UserError(f"{lock}: this job was taken for dead and another one goes on with its work; this one ends")

    beats = threading.Thread(target=beat, daemon=True)
    beats.start()
    try:
        yield check
    finally:
        ended.set()
        beats.join()
        if is_mine():
            lock.unlink(missing_ok=True)
