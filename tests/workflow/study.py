"""A study of its own folder, run by the real Snakemake with the real command line."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
SCORES = "results/tables/scores.arrow"

METHOD = """
import time
from dataclasses import dataclass

from sparsebench.methods.quest import Quest


@dataclass(frozen=True)
class Mine(Quest):
    name = "mine"
    title = "Quest, but somebody's own"
    source = "a test"

    def prepare(self, k, q_window, layer):
        time.sleep({pause})
        return super().prepare(k, q_window, layer)
"""


@dataclass
class Study:
    """A working directory with a config, written at each run; ``programs`` is where the command line's are."""

    folder: Path
    config: dict[str, Any]
    programs: Path = Path(sys.executable).parent

    @classmethod
    def of(cls, folder: Path, model: Path, programs: Path = programs) -> Study:
        """Three samples of one task; dense, quest and a method of the user's own in ``mine.py``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mine.py").write_text(METHOD.format(pause=0))
        config = {
            "samples": 3,
            "lengths": [384],
            "models": {"tiny": {"path": str(model)}},
            "tasks": {"niah": {"task": "ruler_niah"}},
            "prefill": {"block_sparse": {"sparsity": [0.5], "params": {"block": 32}}},
            "decode": {"quest": {"sparsity": [0.5]}, "mine": {"class": "mine.py:Mine", "sparsity": [0.5, 0.9]}},
        }
        return cls(folder, config, programs)

    def copy_to(self, folder: Path, programs: Path = programs) -> Study:
        """The same study elsewhere, results, their times and Snakemake's memory included."""
        subprocess.run(["cp", "-a", str(self.folder), str(folder)], check=True)
        return Study(folder, copy.deepcopy(self.config), programs)

    def command(self, *arguments: str) -> list[str]:
        """Snakemake on this study; ``arguments`` go last, targets first among them."""
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.config))
        fixed = ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(self.folder), "--cores", "2"]
        snakemake = str(self.programs / "snakemake")
        return [snakemake, *arguments, *fixed, "--configfile", str(self.folder / "config.yaml")]

    def environment(self) -> dict[str, str]:
        """With the programs on PATH, and one thread a process."""
        path = f"{self.programs}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {"PATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

    def run(self, *arguments: str, fails: bool = False) -> str:
        """Run to the end; what Snakemake said."""
        done = subprocess.run(
            self.command(*arguments), env=self.environment(), capture_output=True, text=True, timeout=900
        )
        said = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, f"{said}\n{self.logs()}"
        return said

    def logs(self) -> str:
        """All job logs."""
        return "\n".join(f"== {p}\n{p.read_text()}" for p in sorted(self.folder.glob("results/logs/**/*.log")))

    def rows(self, prefill: str = "dense", length: int = 384) -> tuple[int, int]:
        """Rows (computed, reused) by the last inference job of a cell, as its log says."""
        log = (self.folder / f"results/logs/infer/tiny/{prefill}/niah/{length}.log").read_text()
        (found,) = re.findall(r"computed (\d+) rows, reused (\d+)", log)
        return int(found[0]), int(found[1])


def jobs(said: str) -> dict[str, int]:
    """Jobs by rule in the table that Snakemake prints first; empty when there was nothing to do."""
    table = re.search(r"^job +count\n-+ +-+\n(.*?)^total +(\d+)", said, re.M | re.S)
    if table is None:
        assert "Nothing to be done" in said, said
        return {}
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table[1], re.M)}
