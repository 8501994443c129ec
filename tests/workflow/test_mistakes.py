"""Mistakes are told before any job starts, once, and without a traceback."""

from __future__ import annotations

import resource
from typing import Any

import pytest

from tests.workflow.conftest import Study


def test_a_bad_config_stops_before_any_job(fresh: Study) -> None:
    fresh.config |= {"sparsity": [1.5], "decode": {"qest": None}}
    said = fresh.run(code=1)
    assert "2 mistakes" in said and "sparsity.0" in said and "did you mean 'quest'?" in said
    assert "Traceback" not in said and "Job stats" not in said
    assert not (fresh.folder / "results").exists()


def test_a_missing_model_is_named_in_the_terminal(fresh: Study) -> None:
    fresh.config["models"] = {"tiny": {"path": "/no/such/model"}}
    said = fresh.run("results/models/tiny/model.json", code=1)
    assert "models.tiny.path: no folder '/no/such/model'" in said and "Traceback" not in said


def test_dropped_cells_are_said_once(fresh: Study) -> None:
    fresh.config["lengths"] = [512, 1024]  # the tiny model takes 1024 tokens, prompt and answer together
    said = fresh.run("--dry-run", "--quiet", "rules")
    assert said.count("dropped tiny / dense / niah / 1024: tiny takes 1024 tokens") == 1
    assert "dropped tiny / dense / niah / 512" not in said


def test_a_dry_run_of_5000_jobs_is_quick(fresh: Study, plan: dict[str, Any]) -> None:
    lengths = list(range(64, 64 + 250))
    methods = {f"b{block}": {"method": "block_sparse", "params": {"block": block}} for block in (16, 32, 64)}
    tasks = {label: {"task": "ruler_niah"} for label in ("one", "two")}
    fresh.config |= {"lengths": lengths, "prefill": methods, "tasks": tasks}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = fresh.run("--dry-run", "--quiet", "all")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "error" not in said.lower()
    # processor time: other work on the machine does not count
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 15


@pytest.mark.parametrize("file", ["Snakefile"])
def test_snakemake_finds_nothing_to_criticise(fresh: Study, file: str) -> None:
    assert "Congratulations" in fresh.run("--lint")
