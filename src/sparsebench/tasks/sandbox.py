"""Runs a short Python program apart from this process, with limits on time, memory, output and what it may do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile

_CPU_S = 2
_WALL_S = 10.0
_MEMORY_BYTES = 512 << 20
_OUTPUT_BYTES = 64 << 10

# Limits are set by the child itself, before it runs the program: a function between fork and exec would make Python
# copy this whole process for each program. An audit hook cannot be taken away, and this one leaves nothing to catch.
_BOOT = f"""
import os, resource, sys
code = compile(sys.stdin.read(), "program", "exec")
for what, most in (
    (resource.RLIMIT_CPU, {_CPU_S}),
    (resource.RLIMIT_AS, {_MEMORY_BYTES}),
    (resource.RLIMIT_FSIZE, {_OUTPUT_BYTES}),
    (resource.RLIMIT_NOFILE, 16),
    (resource.RLIMIT_CORE, 0),
):
    resource.setrlimit(what, (most, most))
def guard(event, _, allowed=frozenset(("compile", "exec")), leave=os._exit):
    if event not in allowed:
        leave(1)
sys.addaudithook(guard)
leave = os._exit
# Some calls on paths are not audited: none is left to be found.
for name in ("os", "posix"):
    vars(sys.modules[name]).clear()
exec(code, {{"__name__": "__main__"}})
print(end="", flush=True)
leave(0)
"""


def run(program: str) -> str | None:
    """What ``program`` prints, or None if it fails or goes over a limit.

    It runs isolated (no site packages, no environment, an empty folder), for at most 2 s of CPU time and 10 s in all,
    in 512 MiB, and prints at most 64 KiB. Whatever Python audits ends it: opening files, loading modules, starting
    processes, signals, sockets, foreign functions, changing limits. The module ``os`` is empty for it.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile(dir=folder) as printed:
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOOT],
            cwd=folder,
            env={},
            stdin=subprocess.PIPE,
            stdout=printed,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            child.communicate(program.encode(), timeout=_WALL_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return None
        if child.returncode != 0:
            return None
        printed.seek(0)
        return printed.read().decode(errors="replace")
