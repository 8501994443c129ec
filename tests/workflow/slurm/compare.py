"""Seconds that a study takes here, and through a SLURM of as many processors on this machine.

``python -m tests.workflow.slurm.compare CONFIG``; what the runs said stays in the folder that it names.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from tests.workflow.slurm.clone import Clone
from tests.workflow.slurm.cluster import Cluster
from tests.workflow.study import ROOT


def main(config: Path) -> None:
    """Run ``config`` twice from nothing, with the profile as it ships."""
    cores = os.cpu_count() or 1
    folder = Path(tempfile.mkdtemp(prefix="compare-"))
    print(f"{folder}: {cores} processors", flush=True)
    cluster = Cluster(folder / "lab", cpus=max(1, cores // 2))  # the partition of the jobs has two nodes
    seconds = {}
    try:
        cluster.start()
        for name, arguments in (("here", ("--cores", str(cores))), ("slurm", ("--profile", "slurm"))):
            clone = Clone(folder / name, cluster)
            clone.edit_config(yaml.safe_load(config.read_text()))
            shutil.copy(ROOT / "slurm/config.yaml", clone.folder / "slurm")
            start = time.monotonic()
            with clone.said_file.open("w") as said:
                subprocess.run(["snakemake", *arguments], cwd=clone.folder, env=clone.environment, stdout=said,
                               stderr=said, check=True)  # fmt: skip
            seconds[name] = time.monotonic() - start
            print(f"{name}: {seconds[name]:.0f} s, {clone.said().count('SLURM jobid')} submissions", flush=True)
    finally:
        cluster.stop()
    print(f"at most {2 * seconds['here'] + 60:.0f} s asked of slurm: {seconds['slurm'] <= 2 * seconds['here'] + 60}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
