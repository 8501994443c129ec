"""What a whole run leaves behind, and what it says when something it left is damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars
import pyarrow.feather as feather

from tests.workflow.study import ROOT, Study

CELL = "results/predictions/tiny/dense/niah/384.arrow"
SAMPLES = "results/samples/tiny/niah/384.arrow"
ROWS = 3 * 4  # dense, quest at one sparsity and `mine` at two, 3 samples each


def test_tables_charts_and_first_page(finished: Study) -> None:
    results = finished.folder / "results"
    rows = polars.read_ipc(results / "tables" / "scores.arrow").filter(polars.col("decode_sparsity") == 0.5)
    # a subclass that changes nothing but the name selects the same
    quest, mine = (rows.filter(polars.col("decode") == name).sort("sample") for name in ("quest", "mine"))
    assert quest["decode_density"].to_list() == mine["decode_density"].to_list()
    assert all(0.4 < density <= 0.55 for density in quest["decode_density"])
    charts = sorted(path.stem for path in (results / "charts").glob("*.html"))
    assert {"accuracy_vs_sparsity", "pareto"} <= set(charts)
    for chart in charts:
        assert (results / "charts" / f"{chart}.svg").stat().st_size > 1000
        assert (results / "charts" / f"{chart}.png").stat().st_size > 1000
    assert "<html" in (results / "overview.html").read_text()[:200].lower()


def test_the_report_is_one_file(study: Study) -> None:
    study.run("--report", "results/report.html")
    text = (study.folder / "results" / "report.html").read_text()
    assert "overview.html" in text and "pareto" in text


def test_provenance_travels_to_the_last_table(finished: Study) -> None:
    meta = feather.read_table(finished.folder / "results/tables/frontier.arrow").schema.metadata
    assert json.loads(meta[b"config"])["samples"] == 3
    assert {"torch", "transformers", "sparsebench"} <= set(json.loads(meta[b"versions"]))
    assert meta[b"devices"]


def test_a_damaged_table_is_named_and_nothing_is_lost(study: Study) -> None:
    samples = study.folder / SAMPLES
    samples.write_bytes(samples.read_bytes()[:200])
    said = study.run(CELL, fails=True)
    assert f"{SAMPLES}: not a readable Arrow file" in said and "delete it and run again" in said
    assert "Traceback" not in said
    samples.unlink()
    study.run(CELL)
    assert study.rows() == (0, ROWS)


def test_a_damaged_journal_line_costs_only_its_row(study: Study) -> None:
    journal = study.folder / "results/journal/tiny/dense/niah/384.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    (study.folder / CELL).unlink()
    said = study.run(CELL)
    assert "1 damaged line(s) set aside" in said
    assert study.rows() == (1, ROWS - 1)


def test_dropped_cells_are_said_once(study: Study) -> None:
    study.config["lengths"].append(1024)  # the tiny model takes 1024 tokens, prompt and answer together
    said = study.run(CELL, "results/models/tiny/model.json", "--forcerun", "fetch_model")
    assert said.count("dropped tiny / dense / niah / 1024: tiny takes 1024 tokens") == 1


def test_snakemake_finds_nothing_to_criticise(fresh: Study) -> None:
    assert "Congratulations" in fresh.run("--lint")


def test_every_rule_logs_what_its_job_says() -> None:
    rules = "".join(path.read_text() for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")))
    assert rules.count("\nrule ") == rules.count("| tee {log}") > 0


def test_a_model_folder_that_changed_is_looked_at_again(study: Study, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(study.config["models"]["tiny"]["path"], model)
    study.config["models"]["tiny"]["path"] = str(model)
    study.run("results/models/tiny/model.json")
    before = (study.folder / "results/models/tiny/model.json").read_text()
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    study.run("results/models/tiny/model.json")
    assert (study.folder / "results/models/tiny/model.json").read_text() != before
