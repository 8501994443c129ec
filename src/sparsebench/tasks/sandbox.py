"""Runs a short Python program apart from this process, with limits on time, memory and files."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile

_CPU_S = 2
_WALL_S = 10.0
_MEMORY_BYTES = 512 << 20


def _limit() -> None:
    for what, most in (
        (resource.RLIMIT_CPU, _CPU_S),
        (resource.RLIMIT_AS, _MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 16),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def run(program: str) -> str | None:
    """What ``program`` prints, or None if it fails or goes over a limit.

    It runs isolated (no site packages, no environment, an empty folder to work in), for at most 2 s of CPU time, in
    512 MiB, and cannot write files.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-S", "-c", program],
                cwd=folder,
                env={},
                capture_output=True,
                timeout=_WALL_S,
                preexec_fn=_limit,
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None
