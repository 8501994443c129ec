"""What a user has: a clone of the project with an edited config, and the literal command line."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.workflow.slurm.cluster import Cluster
from tests.workflow.study import ROOT

COMMAND = ("snakemake", "--profile", "slurm")


class Clone:
    """A clone in ``folder`` that runs on ``cluster``."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        folder.mkdir(parents=True)
        shutil.copy(ROOT / "Snakefile", folder)
        for part in ("workflow", "profiles", "slurm", "config"):
            shutil.copytree(ROOT / part, folder / part)
        (folder / "resources").symlink_to(ROOT / "resources")
        self.folder, self.cluster = folder, cluster
        path = f"{Path(sys.executable).parent}:{cluster.environment['PATH']}"
        self.environment = cluster.environment | {"PATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        self.edit_profile({"slurm-init-seconds-before-status-checks": 5, "latency-wait": 20})

    def edit_profile(self, changes: dict[str, Any]) -> None:
        """Change keys of ``slurm/config.yaml``, as its comments tell users to."""
        file = self.folder / "slurm/config.yaml"
        file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes))

    def edit_config(self, config: dict[str, Any]) -> None:
        (self.folder / "config/config.yaml").write_text(yaml.safe_dump(config))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Run ``snakemake --profile slurm`` with ``arguments``; what it says goes to ``said``."""
        with self.said_file.open("a") as file:
            return subprocess.Popen(
                [*COMMAND, *arguments], cwd=self.folder, env=self.environment, stdout=file, stderr=file, text=True
            )

    def run(self, *arguments: str, seconds: float = 400) -> int:
        """The same to its end; the exit code."""
        process = self.start(*arguments)
        try:
            return process.wait(seconds)
        finally:
            process.kill()

    @property
    def said_file(self) -> Path:
        return self.folder / "said"

    def said(self) -> str:
        return self.said_file.read_text()

    def submitted(self, rule: str) -> list[str]:
        """Numbers of the jobs submitted for a rule or group, in order."""
        return re.findall(rf"SLURM jobid (\d+) \(log: \S*/(?:rule|group)_{rule}/", self.said())

    def jobs_of(self, name: str) -> list[str]:
        """The same for one job of Snakemake, named by its wildcards."""
        return re.findall(rf"SLURM jobid (\d+) \(log: \S*/{name}/", self.said())

    def lines(self, cell: str) -> int:
        """Rows in the journal of a cell, ``model/prefill/task/length``."""
        file = self.folder / f"results/journal/{cell}.jsonl"
        return file.read_bytes().count(b"\n") if file.exists() else 0

    def log(self, cell: str) -> str:
        """What the last job of a cell said; nothing between Snakemake's removal of a log and the next job's start."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / f"results/logs/infer/{cell}.log").read_text()
        return ""

    def counts(self, cell: str) -> tuple[int, int]:
        """Rows (computed, reused) by the last job of a cell."""
        (found,) = re.findall(r"computed (\d+) rows, reused (\d+)", self.log(cell))
        return int(found[0]), int(found[1])
