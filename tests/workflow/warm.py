"""Snakemake and sparsebench from a process that has imported them: each call is a fork of it, and starts in no time.

Half of what a small run takes are imports, of torch and transformers above all. A call has the arguments, environment,
folder and streams that a command of its own would have; what reads imports or signals needs a real one.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import marshal
import os
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
PROGRAMS = {"snakemake": "snakemake.cli", "sparsebench": "sparsebench.cli"}
IMPORTS = (
    *PROGRAMS.values(), "snakemake.workflow", "snakemake.scheduling.job_scheduler", "sparsebench.charts.render",
    "sparsebench.engine.infer", "sparsebench.models.fetch", "sparsebench.report.overview", "sparsebench.scoring",
    "sparsebench.stats.derived", "sparsebench.synthesis", "sparsebench.tasks.bench",
)  # fmt: skip
CLIENT = """#!{python} -IS
import marshal, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect("{socket}")
    call = marshal.dumps(("{program}", sys.argv[1:], os.getcwd(), dict(os.environ)))
    socket.send_fds(server, [len(call).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(call)
    sys.exit((server.recv(1) or b"\\x01")[0])
"""


def _serve(address: str) -> None:
    """Answer calls until the process that started this one is gone, which closes the standard input."""
    for module in IMPORTS:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for children
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{address}.new")
        server.listen(64)
        Path(f"{address}.new").rename(address)  # now that it answers
        while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:
            call, _ = server.accept()
            if os.fork() == 0:
                server.close()
                _answer(call)
            call.close()


def _answer(call: socket.socket) -> None:
    """Do what a client asks for and send it the exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    head, streams, _, _ = socket.recv_fds(call, 4, 3)
    message = call.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
    program, arguments, folder, environment = marshal.loads(message)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [program, *arguments]
    code: object = 1
    try:
        code = sys.modules[PROGRAMS[program]].main(arguments)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    call.sendall(bytes([code if isinstance(code, int) else bool(code)]))
    os._exit(0)


@contextlib.contextmanager
def warm_programs(environment: dict[str, str]) -> Iterator[Path]:
    """A folder for PATH with both programs, while a process with ``environment`` serves them."""
    with TemporaryDirectory(prefix="warm-") as name:
        folder = Path(name)
        for program in PROGRAMS:
            client = folder / program
            client.write_text(CLIENT.format(python=sys.executable, socket=folder / "socket", program=program))
            client.chmod(0o755)
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.workflow.warm", str(folder / "socket")],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
        )
        try:
            until = time.monotonic() + 600
            while not (folder / "socket").exists():
                assert server.poll() is None and time.monotonic() < until, "the imports fail"
                time.sleep(0.05)
            yield folder
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    _serve(sys.argv[1])
