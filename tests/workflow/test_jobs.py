"""What Snakemake would run, and what it refuses before it runs anything."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.workflow.study import ROOT, Study, jobs

# Snakemake in a process that counts function calls, and its own peak memory (that of rusage outlives exec).
COUNTED = """
import cProfile, json, pstats, re, sys
from snakemake.cli import main
profile = cProfile.Profile()
try:
    profile.runcall(main, sys.argv[1:])
except SystemExit as end:
    if end.code:
        raise
calls = pstats.Stats(profile).total_calls
[peak] = re.findall("VmHWM: *([0-9]+) kB", open("/proc/self/status").read().replace(chr(9), " "))
print(json.dumps({"calls": calls, "peak_mib": int(peak) / 1024}))
"""

DENSE = "results/predictions/tiny/dense/niah/384.arrow"


def test_jobs_of_a_fresh_study(fresh: Study) -> None:
    fresh.config["lengths"] = [384, 512]
    planned = jobs(fresh.run("--dry-run"))
    # 2 lengths; dense and block_sparse prefill at each; samples are shared between the two
    assert {rule: planned[rule] for rule in ("fetch_model", "synthesise_task", "infer_cell", "score_cell")} == {
        "fetch_model": 1,
        "synthesise_task": 2,
        "infer_cell": 4,
        "score_cell": 4,
    }
    assert planned["model_table"] == planned["overview"] == planned["all"] == 1
    assert planned["draw_chart"] >= 2


def test_models_of_one_tokenizer_share_their_samples(fresh: Study) -> None:
    fresh.config["models"]["twin"] = {"path": fresh.config["models"]["tiny"]["path"], "tokenizer": "tiny"}
    planned = jobs(fresh.run("--dry-run"))
    assert (planned["fetch_model"], planned["synthesise_task"], planned["infer_cell"]) == (2, 1, 4)


def test_cells_beyond_the_model_are_dropped_and_named(fresh: Study) -> None:
    fresh.config["lengths"] = [384, 8192]
    said = fresh.run("--dry-run")
    assert "dropped tiny / dense / niah / 8192: tiny takes 1024 tokens" in said
    assert jobs(said)["infer_cell"] == 2


def test_a_study_without_a_cell_is_refused(fresh: Study) -> None:
    fresh.config["lengths"] = [8192]
    said = fresh.run("--dry-run", fails=True)
    assert "no cell to compute" in said and "tiny takes 1024 tokens" in said and "Traceback" not in said


def test_a_key_that_stands_twice_is_refused(fresh: Study) -> None:
    command = fresh.command("--dry-run")  # writes the config
    with (fresh.folder / "config.yaml").open("a") as file:
        file.write("samples: 5\n")
    done = subprocess.run(command, env=fresh.environment(), capture_output=True, text=True)
    assert done.returncode == 1 and "'samples' stands in line" in done.stdout + done.stderr


def test_the_gpus_of_a_cell_are_of_one_node(fresh: Study) -> None:
    said = fresh.run("--dry-run", DENSE)
    [resources] = re.findall(r"rule infer_cell:.*?resources: ([^\n]*)", said, re.S)
    assert "nodes=1" in resources


def test_jobs_of_a_cluster_read_the_workflow_without_torch(tiny_llama_dir: Path, tmp_path: Path) -> None:
    study = Study.of(tmp_path, tiny_llama_dir)
    cell = "results/predictions/tiny/block_sparse/niah/384.arrow"
    for mode, imports in (("default", True), ("remote", False)):
        done = subprocess.run(
            study.command("--dry-run", cell, "--mode", mode),
            env=study.environment() | {"PYTHONPROFILEIMPORTTIME": "1"}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert bool(re.search(r"\| +torch$", done.stderr, re.M)) == imports
        assert jobs(done.stdout + done.stderr)["infer_cell"] == 1


def test_mistakes_are_told_together_before_any_job(fresh: Study) -> None:
    fresh.config["tasks"] = {"ruler_naih": None}
    fresh.config["decode"] = {"quest": {"sparsity": [1.5]}, "snapkw": None}
    said = fresh.run(fails=True)
    for part in ("did you mean 'ruler_niah'", "decode.quest.sparsity.0: 1.5", "did you mean 'snapkv'"):
        assert part in said
    assert "Traceback" not in said
    assert not (fresh.folder / "results").exists()


def test_a_missing_model_is_told_by_its_job(fresh: Study) -> None:
    fresh.config["models"]["tiny"]["path"] = "/no/such/model"
    said = fresh.run("results/models/tiny/model.json", fails=True)
    for told in (said, fresh.logs()):
        assert "models.tiny.path: no folder '/no/such/model'" in told and "Traceback" not in told


def test_the_published_grid_is_planned_with_little_effort(tmp_path: Path) -> None:
    command = [sys.executable, "-c", COUNTED, "--dry-run", "--quiet", "rules", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(tmp_path), "--configfile", str(ROOT / "config/paper.yaml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    planned = jobs(done.stdout + done.stderr)
    models, tasks, lengths, prefills = 9, 9, 4, 6
    assert planned["infer_cell"] == planned["score_cell"] == models * tasks * lengths * prefills
    effort = json.loads(done.stdout.splitlines()[-1])
    # Calls and not seconds: those of a busy machine tell nothing. 34 million calls took 9 s on a free one, and what
    # grows with the square of the jobs would be far beyond this.
    assert effort["calls"] < 12_000 * sum(planned.values())
    assert effort["peak_mib"] < 1536
