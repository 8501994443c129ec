"""Whole runs, and what a second run does after a change."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import polars
import psutil

from tests.workflow.conftest import MINE, SAMPLES, Finished, Study, jobs

TABLE = "results/tables/predictions.arrow"
CELL = "results/predictions/tiny/dense/niah/512.arrow"
DENSE_ROWS = SAMPLES * 3  # dense, quest at 0.5, mine at 0.5
SPARSE_ROWS = SAMPLES  # block_sparse at 0.5, decoded densely


def test_a_dry_run_counts_the_jobs(fresh: Study) -> None:
    counts = jobs(fresh.run("--dry-run"))
    # two prefill methods (dense, block_sparse) x one task x one length
    assert {rule: counts[rule] for rule in ("fetch_model", "synthesise_task", "infer_cell", "score_cell")} == {
        "fetch_model": 1,
        "synthesise_task": 1,
        "infer_cell": 2,
        "score_cell": 2,
    }
    assert not (fresh.folder / "results").exists()


def test_a_run_makes_tables_charts_and_the_first_page(finished: Finished) -> None:
    results = finished.study.folder / "results"
    assert finished.study.counted("dense") == (DENSE_ROWS, 0)
    assert finished.study.counted("block_sparse") == (SPARSE_ROWS, 0)
    rows = polars.read_ipc(results / "tables" / "scores.arrow")
    assert len(rows) == DENSE_ROWS + SPARSE_ROWS
    assert set(rows["decode"]) == {"dense", "quest", "mine"}
    # quest's own file and a subclass that changes nothing but the name select the same
    quest, mine = (rows.filter(polars.col("decode") == name).sort("sample") for name in ("quest", "mine"))
    assert quest["decode_density"].to_list() == mine["decode_density"].to_list()
    assert 0.4 < quest["decode_density"].mean() < 0.6  # type: ignore[operator]
    for chart in (results / "charts").glob("*.html"):
        assert chart.with_suffix(".svg").stat().st_size and chart.with_suffix(".png").stat().st_size
    assert "<html" in (results / "overview.html").read_text()[:200].lower()


def test_the_report_is_one_file(study: Study) -> None:
    study.run("--report", "results/report.html")
    text = (study.folder / "results" / "report.html").read_text()
    assert "overview.html" in text and "pareto" in text


def test_a_second_run_has_nothing_to_do(finished: Finished) -> None:
    assert "Nothing to be done" in finished.study.run()


def test_a_new_sparsity_computes_only_its_rows(study: Study) -> None:
    study.config["decode"] = {**study.config["decode"], "quest": {"sparsity": [0.5, 0.75]}}
    counts = jobs(study.run(TABLE))
    assert counts["infer_cell"] == 1 and "synthesise_task" not in counts
    assert study.counted("dense") == (SAMPLES, DENSE_ROWS)
    rows = polars.read_ipc(study.folder / TABLE).filter(polars.col("decode") == "quest")
    assert sorted(rows["decode_sparsity"]) == [0.5] * SAMPLES + [0.75] * SAMPLES


def test_more_samples_keep_those_there_are(study: Study) -> None:
    study.config["samples"] = SAMPLES + 1
    study.run(CELL)
    assert study.counted("dense") == (3, DENSE_ROWS)


def test_an_edited_method_computes_only_its_rows(study: Study) -> None:
    (study.folder / "mine.py").write_text(MINE.replace('"Mine"', '"My own"'))
    counts = jobs(study.run(TABLE))
    assert counts["infer_cell"] == 1  # the cell with sparse prefill does not run it
    assert study.counted("dense") == (SAMPLES, DENSE_ROWS - SAMPLES)


def test_touching_files_recomputes_nothing(study: Study) -> None:
    for file in ("mine.py", "results/samples/tiny/niah/512.arrow", "config.yaml"):
        (study.folder / file).touch()
    assert "Nothing to be done" in study.run("--dry-run")


def test_a_damaged_table_is_named_and_nothing_is_lost(study: Study) -> None:
    samples = study.folder / "results/samples/tiny/niah/512.arrow"
    samples.write_bytes(samples.read_bytes()[:200])
    said = study.run(CELL, code=1)
    assert "delete it and run again" in said and "Traceback" not in said
    samples.unlink()
    study.run(CELL)
    assert study.counted("dense") == (0, DENSE_ROWS)


SLOW = """
import time
from dataclasses import dataclass

from sparsebench.methods.quest import Quest


@dataclass(frozen=True)
class Slow(Quest):
    name = "slow"
    title = "Slow"

    def prepare(self, k, q_window, layer):
        time.sleep(0.25)
        return super().prepare(k, q_window, layer)
"""


def lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def test_a_killed_run_resumes(study: Study) -> None:
    (study.folder / "slow.py").write_text(SLOW)
    study.config |= {"samples": 12, "prefill": {}, "decode": {"slow": {"class": "slow.py:Slow"}}}
    study.config["engine"] = {"dtype": "float32", "batch_rows": 1}
    study.run("results/samples/tiny/niah/512.arrow")
    journal = study.folder / "results/journal/tiny/dense/niah/512.jsonl"
    before = lines(journal)
    # dense rows of the first samples are in the journal already; 10 x 1 dense and 12 x 1 slow ones are not
    run = subprocess.Popen(
        study.command(CELL), env=study.env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
    )
    try:
        limit = time.monotonic() + 90
        while lines(journal) < before + 2 and run.poll() is None and time.monotonic() < limit:
            time.sleep(0.02)
    finally:
        everyone = [*psutil.Process(run.pid).children(recursive=True), psutil.Process(run.pid)]
        for process in everyone:
            os.kill(process.pid, signal.SIGKILL)
        run.wait()
    kept = lines(journal)
    assert before + 2 <= kept < before + 22
    study.run("--unlock")
    study.run(CELL, "--rerun-incomplete")
    computed, reused = study.counted("dense")
    assert computed + reused == 24
    assert computed == before + 22 - kept
    rows = polars.read_ipc(study.folder / CELL)
    assert rows.group_by("decode").len().sort("decode")["len"].to_list() == [12, 12]


def test_a_damaged_journal_line_costs_only_its_row(study: Study) -> None:
    journal = study.folder / "results/journal/tiny/dense/niah/512.jsonl"
    text = journal.read_bytes()
    journal.write_bytes(text[:-20])
    (study.folder / CELL).unlink()
    study.run(CELL)
    assert study.counted("dense") == (1, DENSE_ROWS - 1)
    log = (study.folder / "results/logs/infer/tiny/dense/niah/512.log").read_text()
    assert "1 damaged line(s) set aside" in log


def test_provenance_travels_to_the_tables(finished: Finished) -> None:
    import pyarrow.feather as feather

    meta = feather.read_table(finished.study.folder / "results/tables/frontier.arrow").schema.metadata
    assert json.loads(meta[b"config"])["samples"] == SAMPLES
    assert {"torch", "transformers", "sparsebench"} <= set(json.loads(meta[b"versions"]))
    assert meta[b"devices"].startswith(b"CPU") or b"NVIDIA" in meta[b"devices"]
