"""Seconds that a study takes here, and through a SLURM on this machine.

``python -m tests.workflow.slurm.compare CONFIG [MODEL]``; the folder MODEL takes the place of the config's models.
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


def main(config: Path, model: str | None = None) -> None:
    """Run ``config`` twice from nothing, with the profile as it ships."""
    study = yaml.safe_load(config.read_text())
    if model is not None:
        study["models"] = {Path(model).name: {"path": model, "gpus": 0}}
    folder = Path(tempfile.mkdtemp())
    cluster = Cluster(folder / "lab")
    try:
        cluster.start()
        for name, arguments in (("here", ("--cores", str(os.cpu_count()))), ("slurm", ("--profile", "slurm"))):
            clone = Clone(folder / name, cluster)
            clone.edit_config(study)
            shutil.copy(ROOT / "slurm/config.yaml", clone.folder / "slurm")
            start = time.monotonic()
            with clone.said_file.open("w") as said:
                subprocess.run(["snakemake", *arguments], cwd=clone.folder, env=clone.environment, stdout=said,
                               stderr=said, check=True)  # fmt: skip
            print(f"{name}: {time.monotonic() - start:.0f} s, {clone.said().count('SLURM jobid')} submissions")
    finally:
        cluster.stop()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
