"""Studies that run for real: Snakemake, the command line, and a random Llama small enough for seconds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]

SAMPLES = 2

# A method of the user's own: a file beside the study.
MINE = """
from dataclasses import dataclass

from sparsebench.methods.quest import Quest


@dataclass(frozen=True)
class Mine(Quest):
    name = "mine"
    title = "Mine"
"""


@dataclass
class Study:
    """A working directory with a config."""

    folder: Path
    config: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, *arguments: str) -> list[str]:
        """Snakemake on this study; writes the config first."""
        file = self.folder / "config.yaml"
        text = yaml.safe_dump(self.config)
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
        snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]
        return [*snakemake, "--directory", str(self.folder), *arguments, "--configfile", str(file)]

    def env(self) -> dict[str, str]:
        """Rules find the programs of the environment that runs the tests."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **self.environment}

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run Snakemake; its whole output."""
        done = subprocess.run(
            self.command(*arguments), env=self.env(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def counted(self, prefill: str) -> tuple[int, int]:
        """Rows computed and reused, as the cell's log says at its end."""
        text = (self.folder / f"results/logs/infer/tiny/{prefill}/niah/512.log").read_text()
        computed, reused = re.findall(r"computed (\d+) rows, reused (\d+)", text)[-1]
        return int(computed), int(reused)


def jobs(output: str) -> dict[str, int]:
    """Jobs per rule from Snakemake's table."""
    table = output.partition("Job stats:")[2].partition("total")[0]
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, flags=re.M)}


@pytest.fixture(scope="session")
def plan(tiny_llama_dir: Path) -> dict[str, Any]:
    """Config of the studies here."""
    return {
        "samples": SAMPLES,
        "lengths": [512],
        "sparsity": [0.5],
        "models": {"tiny": {"path": str(tiny_llama_dir)}},
        "tasks": {"niah": {"task": "ruler_niah", "params": {"value_kind": "number"}}},
        "prefill": {"block_sparse": {"params": {"block": 32}}},
        "decode": {"quest": None, "mine": {"class": "mine.py:Mine"}},
        "engine": {"dtype": "float32"},
    }


@pytest.fixture
def fresh(plan: dict[str, Any], tmp_path: Path) -> Study:
    """A study of which nothing has run."""
    (tmp_path / "mine.py").write_text(MINE)
    return Study(tmp_path, dict(plan))


@dataclass(frozen=True)
class Finished:
    """A study that ran to its end, and what Snakemake said."""

    study: Study
    output: str


@pytest.fixture(scope="session")
def finished(plan: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Run once, to be looked at and copied, not changed."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "mine.py").write_text(MINE)
    study = Study(folder, dict(plan))
    return Finished(study, study.run())


@pytest.fixture
def study(finished: Finished, tmp_path: Path) -> Study:
    """A copy of the finished study, to change."""
    folder = tmp_path / "study"
    shutil.copytree(finished.study.folder, folder)
    return Study(folder, dict(finished.study.config))
