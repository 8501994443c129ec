"""What is submitted for a grid, and what SLURM gives: submissions are real, but the jobs only pretend to work."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from tests.workflow.slurm.clone import Clone
from tests.workflow.slurm.cluster import PATH, Cluster

# Stands before sbatch: leaves empty files where the outputs would be, and submits a job that notes its GPUs.
PRETEND = """#!{python} -S
import os, re, sys

tables = {{"synthesise_task": "samples", "infer_cell": "predictions", "score_cell": "scores"}}
place = next(i for i, word in enumerate(sys.argv) if word.startswith("--wrap="))
for rule, wildcards in re.findall("(" + "|".join(tables) + r"):([\\w=,]+)", sys.argv[place]):
    cell = "/".join(pair.split("=")[1] for pair in wildcards.split(","))
    stage = rule.split("_")[0]
    for file in (f"results/{{tables[rule]}}/{{cell}}.arrow", f"results/benchmarks/{{stage}}/{{cell}}.tsv"):
        os.makedirs(os.path.dirname(file), exist_ok=True)
        open(file, "w").close()
sys.argv[place] = f"--wrap=echo {{rule}} ${{{{CUDA_VISIBLE_DEVICES:-none}}}} >> given"
os.execv("{sbatch}", ["sbatch", *sys.argv[1:]])
"""


def _given(clone: Clone) -> list[list[str]]:
    """Rule of each job, and its GPUs."""
    return [line.split() for line in (clone.folder / "given").read_text().splitlines()]


def test_small_jobs_of_a_hundred_cells_are_five_submissions(
    cluster: Cluster, tiny_llama_dir: Path, tmp_path: Path
) -> None:
    clone = Clone(tmp_path / "clone", cluster)
    config = {
        "samples": 2,
        "lengths": [256, 384, 512, 640],
        "models": {"tiny": {"path": str(tiny_llama_dir), "gpus": 2}},
        "tasks": {f"niah{i}": {"task": "ruler_niah"} for i in range(5)},
        "prefill": {f"b{i}": {"method": "block_sparse", "sparsity": [0.5]} for i in range(4)},
        "engine": {"threads": 1},
    }
    clone.edit_config(config)
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
    assert clone.said().count("SLURM jobid") == 100 + 1 + 4
    given = _given(clone)
    assert len(given) == 105
    assert {(rule, len(gpus.split(",")), gpus == "none") for rule, gpus in given} == {
        ("synthesise_task", 1, True), ("infer_cell", 2, False), ("score_cell", 1, True),
    }  # fmt: skip

    # jobs of a bundle run one after the other: one processor, the memory of one, the time of all (3 minutes each)
    bundles = clone.submitted("scores_score_cell")
    ends = [line for line in cluster.ended() if re.search(rf"JobId=({'|'.join(bundles)}) ", line)]
    assert len(ends) == 4
    assert all(" TimeLimit=75 " in line and re.search(r"Tres=cpu=1,mem=1000M,", line) for line in ends), ends

    # a cluster that knows only generic resources
    clone.edit_config(config | {"engine": {"threads": 1, "gpu_request": "gres:h100"}})
    again = "results/predictions/tiny/dense/niah0/256.arrow"
    (clone.folder / again).unlink()
    assert clone.run(again) == 0, clone.said()
    rule, gpus = _given(clone)[-1]
    assert rule == "infer_cell" and len(gpus.split(",")) == 2
