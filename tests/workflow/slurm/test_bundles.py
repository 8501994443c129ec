"""How many submissions a grid takes: jobs are submitted for real, but only pretend to work."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from tests.workflow.slurm.clone import Clone
from tests.workflow.slurm.cluster import PATH, Cluster

# Stands before sbatch: leaves empty files where the outputs would be, and submits `true`.
PRETEND = """#!{python} -S
import os, re, sys

tables = {{"synthesise_task": "samples", "infer_cell": "predictions", "score_cell": "scores"}}
place = next(i for i, word in enumerate(sys.argv) if word.startswith("--wrap="))
for rule, wildcards in re.findall(r"(\\w+):([\\w=,]+)", sys.argv[place]):
    if rule in tables:
        cell = "/".join(pair.split("=")[1] for pair in wildcards.split(","))
        stage = rule.split("_")[0]
        for file in (f"results/{{tables[rule]}}/{{cell}}.arrow", f"results/benchmarks/{{stage}}/{{cell}}.tsv"):
            os.makedirs(os.path.dirname(file), exist_ok=True)
            open(file, "w").close()
sys.argv[place] = "--wrap=true"
os.execv("{sbatch}", ["sbatch", *sys.argv[1:]])
"""


def test_small_jobs_of_a_hundred_cells_are_two_submissions(
    cluster: Cluster, tiny_llama_dir: Path, tmp_path: Path
) -> None:
    clone = Clone(tmp_path / "clone", cluster)
    clone.edit_config(
        {
            "samples": 2,
            "lengths": [256, 384, 512, 640],
            "models": {"tiny": {"path": str(tiny_llama_dir), "gpus": 0}},
            "tasks": {f"niah{i}": {"task": "ruler_niah"} for i in range(5)},
            "prefill": {f"b{i}": {"method": "block_sparse", "sparsity": [0.5]} for i in range(4)},
            "engine": {"threads": 1},
        }
    )
    clone.edit_profile({"slurm-init-seconds-before-status-checks": 1})
    pretend = tmp_path / "bin" / "sbatch"
    pretend.parent.mkdir()
    pretend.write_text(PRETEND.format(python=sys.executable, sbatch=shutil.which("sbatch", path=PATH)))
    pretend.chmod(0o755)
    clone.environment["PATH"] = f"{pretend.parent}:{clone.environment['PATH']}"
    assert clone.run("--until", "score_cell") == 0, clone.said()
    planned = dict(re.findall(r"^(\w+) +(\d+)$", clone.said(), re.M))
    assert (planned["synthesise_task"], planned["infer_cell"], planned["score_cell"]) == ("20", "100", "100")
    assert len(clone.submitted("infer_cell")) == 100
    assert clone.said().count("SLURM jobid") == 100 + 2
