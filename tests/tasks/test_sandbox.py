"""The sandbox runs a program to its end and nothing beyond it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sparsebench.tasks import sandbox


def test_what_is_printed_comes_back() -> None:
    assert sandbox.run("def f(*, a, b):\n    return a * 2 + b\n\nprint(f(b=1, a=3))") == "7\n"
    assert sandbox.run("print('née', end='')") == "née"
    assert sandbox.run("x = 1") == ""


@pytest.mark.parametrize(
    "program",
    [
        "raise ValueError",
        "print(1",
        "print(undefined)",
        "def f():\n    return f()\nf()",
        "import sys\nprint(1)\nsys.exit(0)",  # an early end is no end
        "raise SystemExit",
    ],
)
def test_a_program_that_fails_gives_nothing(program: str) -> None:
    assert sandbox.run(program) is None


@pytest.mark.parametrize("wall", [None, 0.5])
def test_an_endless_loop_ends_by_either_limit(wall: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    kill = os.killpg
    monkeypatch.setattr(os, "killpg", lambda group, number: (killed.append(group), kill(group, number)))
    monkeypatch.setattr(sandbox, "_WALL_S", wall)  # none at all, or one that comes before that of CPU time
    assert sandbox.run("while True:\n    pass") is None
    assert len(killed) == (wall is not None)


def test_memory_has_a_limit() -> None:
    assert sandbox.run("x = bytearray(300 << 20)\nprint(1)") == "1\n"
    assert sandbox.run("x = bytearray(600 << 20)\nprint(1)") is None
    assert sandbox.run("x = [0]\nwhile True:\n    x += x") is None


def test_output_has_a_limit() -> None:
    assert sandbox.run("print('x' * 60_000)") == "x" * 60_000 + "\n"
    assert sandbox.run("print('x' * 70_000)") is None
    assert sandbox.run("while True:\n    print('x' * 1000)") is None


ESCAPES = [
    "open({path!r}, 'w').write('x')",
    "open('/etc/passwd').read()",
    "import os\nos.open({path!r}, os.O_CREAT | os.O_WRONLY)",
    "import os\nos.mkdir({path!r})",
    "import os\nos.system('touch ' + {path!r})",
    "import os\nos.posix_spawn('/usr/bin/touch', ['touch', {path!r}], {{}})",
    "import os\nos.execv('/usr/bin/touch', ['touch', {path!r}])",
    "import os\nif os.fork() == 0:\n    while True:\n        pass",
    "import os, signal\nos.kill({pid}, signal.SIGCONT)",
    "import os\nos.killpg(os.getpgid({pid}), 18)",
    "import os\nos.listdir('/')",
    "import subprocess\nsubprocess.run(['touch', {path!r}])",
    "import socket\nsocket.socket()",
    "import _socket\n_socket.socket()",
    "import ctypes",
    "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (100, 100))",
    "try:\n    open({path!r}, 'w')\nexcept BaseException:\n    pass",
    "__builtins__['__import__']('shutil').rmtree('/nowhere')",
    # A way round the import to a function that Python does not audit.
    "[c for c in object.__subclasses__() if c.__name__ == '_wrap_close'][0].__init__.__globals__['mkfifo']({path!r})",
    "().__class__.__base__.__subclasses__()\n(lambda: 0).__code__.replace(co_code=b'')",
]


@pytest.mark.parametrize("escape", ESCAPES)
def test_nothing_outside_can_be_touched(escape: str, tmp_path: Path) -> None:
    path = tmp_path / "made"
    assert sandbox.run(escape.format(path=str(path), pid=os.getpid()) + "\nprint('out')") is None
    assert not path.exists()
