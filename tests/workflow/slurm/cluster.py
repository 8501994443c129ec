"""A real SLURM of several nodes on this machine, in a folder of its own: controller, node daemons, munge."""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "srun", "scontrol")
PACKAGES = "slurmctld slurmd slurm-client munge"
PATH = f"{os.environ['PATH']}{os.pathsep}/usr/sbin{os.pathsep}/sbin"


def missing() -> list[str]:
    """Programs of SLURM that this machine lacks."""
    return [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]


def wait_for(what: str, is_so: Callable[[], object], seconds: float) -> None:
    """Wait until ``is_so()``; fails naming ``what`` when it is not so in time."""
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, f"not so after {seconds:.0f} s: {what}"
        time.sleep(0.2)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def _free_ports(count: int) -> int:
    """First of ``count`` consecutive ports that nobody listens on."""
    for first in range(20000 + secrets.randbelow(20000), 60000, count):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise AssertionError("no free ports")


@dataclass
class Cluster:
    """Its nodes are ``n1``, ``n2``, ... Each claims processors and GPUs that need not be there."""

    folder: Path
    nodes: int = 4
    cpus: int = 4
    memory: int = 24000
    gpus: int = 8

    def start(self) -> None:
        """Boot all daemons and wait until every node is idle."""
        for part in ("etc", "state", "spool", "log", "run", "bin", "dev"):
            (self.folder / part).mkdir(parents=True)
        self.folder.chmod(0o755)
        self._munge()
        port = _free_ports(1 + self.nodes)
        conf = (Path(__file__).parent / "slurm.conf").read_text()
        self.conf.write_text(
            conf.format(
                host=platform.node().partition(".")[0], port=port, user=getpass.getuser(), folder=self.folder,
                nodes=self.nodes, first=port + 1, last=port + self.nodes, cpus=self.cpus, memory=self.memory,
                gpus=self.gpus,
            )
        )  # fmt: skip
        for gpu in range(self.gpus):  # a GPU must be a device
            (self.folder / f"dev/gpu{gpu}").symlink_to("/dev/null")
        gres = f"NodeName=n[1-{self.nodes}] Name=gpu Type=h100 File={self.folder}/dev/gpu[0-{self.gpus - 1}]\n"
        (self.folder / "etc/gres.conf").write_text(gres)
        # The executor of jobs removes SLURM_CONF from the environment of its srun.
        self._wrap("srun", f"export SLURM_CONF={self.conf}")
        refusal = f"date >> {self.folder}/log/refused; echo 'Unable to contact slurm controller' >&2; exit 1"
        self._wrap("squeue", f"if [ -e {self.folder}/run/refuse ]; then {refusal}; fi")
        self.call("slurmctld")
        for node in range(1, self.nodes + 1):
            self.start_node(f"n{node}")
        wait_for("all nodes are idle", lambda: self.call("sinfo", "-h", "-N", "-o", "%T").split()[: self.nodes] and
                 set(self.call("sinfo", "-h", "-N", "-o", "%T").split()) == {"idle"}, 120)  # fmt: skip

    def _wrap(self, program: str, before: str) -> None:
        wrapper = self.folder / "bin" / program
        wrapper.write_text(f'#!/bin/sh\n{before}\nexec {shutil.which(program, path=PATH)} "$@"\n')
        wrapper.chmod(0o755)

    def _munge(self) -> None:
        place = self.folder / "munge"
        place.mkdir(mode=0o700)
        (place / "key").write_bytes(secrets.token_bytes(1024))
        (place / "key").chmod(0o600)
        run = self.folder / "run"
        self.call("munged", "--force", f"--key-file={place}/key", f"--seed-file={place}/seed",
                  f"--socket={run}/munge.sock", f"--pid-file={run}/munged.pid", f"--log-file={place}/log")  # fmt: skip

    @property
    def conf(self) -> Path:
        return self.folder / "etc/slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """For whoever uses the cluster."""
        return os.environ | {"SLURM_CONF": str(self.conf), "PATH": f"{self.folder}/bin{os.pathsep}{PATH}"}

    def call(self, *command: str) -> str:
        """Run a command of SLURM; what it said."""
        environment = os.environ | {"SLURM_CONF": str(self.conf), "PATH": PATH}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def start_node(self, node: str) -> None:
        (self.folder / "spool" / node).mkdir(exist_ok=True)
        self.call("slurmd", "-N", node)

    def kill_node(self, node: str) -> None:
        """The node dies with all that runs on it; the controller is told, as its own timeout would tell it."""
        daemon = int((self.folder / f"run/slurmd.{node}.pid").read_text())
        jobs = self.call("squeue", "-h", "-w", node, "-t", "running", "-o", "%i").split()
        os.kill(daemon, signal.SIGKILL)
        dead = [process for job in jobs for process in self._processes(job)]
        tellers = {parent for process in dead for parent in process.parents() if parent.name().startswith("slurmstepd")}
        # Those that would tell the controller how their jobs ended go first: a dead node tells nothing.
        for process in (*tellers, *dead):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.call("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def _processes(self, job: str) -> Iterator[psutil.Process]:
        """Processes of a job of this cluster; another cluster on this machine may have a job of that number too."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                environment = process.environ()
                if (environment.get("SLURM_CONF"), environment.get("SLURM_JOB_ID")) == (str(self.conf), job):
                    yield process

    def requeued(self) -> list[str]:
        """Jobs that SLURM will start again, but not yet."""
        waiting = self.call("squeue", "-h", "-t", "pending", "-o", "%i %r").splitlines()
        return [line.split()[0] for line in waiting if line.endswith("BeginTime")]

    def refuse_status(self, refuse: bool) -> None:
        """Whether the status command fails, as it does while the controller does not answer."""
        flag = self.folder / "run/refuse"
        flag.touch() if refuse else flag.unlink(missing_ok=True)

    def refused(self) -> list[str]:
        """One entry for each time that somebody was refused."""
        file = self.folder / "log/refused"
        return file.read_text().splitlines() if file.exists() else []

    def jobs(self) -> dict[str, str]:
        """State of each job that the controller remembers, by number."""
        lines = self.call("squeue", "-h", "-t", "all", "-o", "%i %T").splitlines()
        return dict(line.split() for line in lines)

    def ended(self) -> list[str]:
        """One line for each end of a job, as the accounting file has it."""
        file = self.folder / "log/jobs"
        return file.read_text().splitlines() if file.exists() else []

    def stop(self) -> None:
        """End all jobs and daemons."""
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            self.call("scancel", "-Q", "--me")
            wait_for("all jobs have ended", lambda: not self.call("squeue", "-h"), 60)
        pids = [int(file.read_text()) for file in (self.folder / "run").glob("*.pid") if file.read_text().strip()]
        for kind in (signal.SIGTERM, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, kind)
            until = time.monotonic() + 5
            while any(is_alive(pid) for pid in pids) and time.monotonic() < until:
                time.sleep(0.1)
