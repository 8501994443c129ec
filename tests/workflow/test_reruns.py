"""Only what is missing is computed: every change is followed by a real run, and the log of its jobs counts rows."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pyarrow.feather as feather
import pytest

from tests.workflow.study import METHOD, ROOT, SCORES, Study, jobs

DENSE = "results/predictions/tiny/dense/niah/384.arrow"
# dense prefill: dense, quest at one sparsity and `mine` at two, 3 samples each
ROWS = 3 * 4


def test_first_run_computes_every_row(finished: Study) -> None:
    assert finished.rows() == (ROWS, 0)
    assert finished.rows("block_sparse") == (3, 0)
    scores = feather.read_table(finished.folder / SCORES)
    assert scores.num_rows == ROWS + 3
    assert set(scores["decode"].to_pylist()) == {"dense", "quest", "mine"}


def test_second_run_has_nothing_to_do(study: Study) -> None:
    assert jobs(study.run(SCORES)) == {}


def test_touching_files_recomputes_nothing(study: Study) -> None:
    (study.folder / "mine.py").touch()
    (study.folder / "results/samples/tiny/niah/384.arrow").touch()
    assert jobs(study.run(SCORES)) == {}


def test_a_new_sparsity_computes_its_rows_alone(study: Study) -> None:
    study.config["decode"]["quest"]["sparsity"].append(0.8)
    planned = jobs(study.run("--dry-run"))
    assert planned["infer_cell"] == planned["score_cell"] == 1
    study.run(DENSE)
    assert study.rows() == (3, ROWS)


def test_more_samples_keep_those_there_are(study: Study) -> None:
    study.config["samples"] = 5
    study.run(SCORES)
    assert study.rows() == (2 * 4, ROWS)
    assert study.rows("block_sparse") == (2, 3)


def test_a_new_method_computes_its_rows_alone(study: Study) -> None:
    study.config["decode"]["snapkv"] = {"sparsity": [0.9]}
    study.run(DENSE)
    assert study.rows() == (3, ROWS)


def test_a_new_length_leaves_the_others_alone(study: Study) -> None:
    study.config["lengths"].append(512)
    planned = jobs(study.run("--dry-run"))
    assert (planned["synthesise_task"], planned["infer_cell"]) == (1, 2)
    study.run(DENSE.replace("384", "512"))
    assert study.rows(length=512) == (ROWS, 0)


def test_a_new_model_and_a_new_task_leave_the_others_alone(study: Study) -> None:
    study.config["models"]["twin"] = {"path": study.config["models"]["tiny"]["path"], "tokenizer": "tiny"}
    study.config["tasks"]["vt"] = {"task": "ruler_vt"}
    planned = jobs(study.run("--dry-run"))
    # two prefill methods: the twin on the task there was, and both models on the new one
    assert (planned["fetch_model"], planned["synthesise_task"]) == (1, 1)
    assert planned["infer_cell"] == planned["score_cell"] == 2 + 2 * 2


def test_a_parameter_of_a_method_touches_its_cells_alone(study: Study) -> None:
    study.config["prefill"]["block_sparse"]["params"]["block"] = 64
    assert jobs(study.run("--dry-run"))["infer_cell"] == 1


def test_another_way_of_scoring_finds_all_rows(study: Study) -> None:
    study.config["tasks"]["niah"] = {"task": "ruler_vt", "params": {"hops": 1}, "lengths": [512]}
    study.config["prefill"] = {}
    done = DENSE.replace("384", "512")
    study.run(done)
    assert study.rows(length=512) == (ROWS, 0)
    study.config["tasks"]["niah"]["params"]["match"] = "iou"
    assert jobs(study.run("--dry-run"))["score_cell"] == 1
    study.run(done)
    assert study.rows(length=512) == (0, ROWS)


def test_another_seed_makes_other_samples(study: Study) -> None:
    study.config["seed"] = 1
    planned = jobs(study.run("--dry-run"))
    assert (planned["synthesise_task"], planned["infer_cell"]) == (1, 2)


def test_a_key_of_the_analysis_is_no_matter_of_cells(study: Study) -> None:
    study.config["analysis"] = {"share": 0.9}
    planned = jobs(study.run("--dry-run"))
    assert planned["derive_table"] > 0
    assert not planned.keys() & {"fetch_model", "synthesise_task", "infer_cell", "score_cell"}


def test_more_room_recomputes_nothing_and_serves_new_rows(study: Study) -> None:
    study.config["engine"] = {"batch_rows": 3, "memory_mib": 300}
    assert jobs(study.run(SCORES)) == {"collect_scores": 1}  # which states the config
    study.config["samples"] = 5
    study.run(DENSE)
    log = (study.folder / DENSE.replace("predictions", "logs/infer").replace(".arrow", ".log")).read_text()
    assert "at most 3 rows" in log and "300 MiB" in log, log


def test_a_renamed_method_finds_its_rows(study: Study) -> None:
    study.config["decode"]["yours"] = study.config["decode"].pop("mine")
    study.run(DENSE)
    assert study.rows() == (0, ROWS)


def test_editing_a_method_recomputes_its_rows_alone(study: Study) -> None:
    with (study.folder / "mine.py").open("a") as file:
        file.write("\n# thought better of it\n")
    assert jobs(study.run("--dry-run"))["infer_cell"] == 1
    study.run(DENSE)
    assert study.rows() == (3 * 2, 3 * 2)


def test_editing_a_task_or_the_engine(finished: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = finished.copy_to(tmp_path / "study")  # a warm process would go on with the package as it was
    package = Path(shutil.copytree(ROOT / "src", tmp_path / "src")) / "sparsebench"
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    for file, planned, rows in (
        ("tasks/ruler_niah.py", {"synthesise_task": 1, "infer_cell": 1}, (0, ROWS)),  # the samples come out the same
        ("engine/ops.py", {"infer_cell": 1}, (ROWS, 0)),
    ):
        with (package / file).open("a") as source:
            source.write("# thought better of it\n")
        assert jobs(study.run(DENSE)).items() - {("total", sum(planned.values()))} == planned.items()
        assert study.rows() == rows


def test_taking_a_method_out_computes_nothing(study: Study) -> None:
    del study.config["decode"]["mine"]
    study.run(SCORES)
    assert study.rows() == (0, 3 * 2)
    assert feather.read_table(study.folder / SCORES).num_rows == 3 * 2 + 3


def test_a_killed_run_resumes_where_it_was(tiny_llama_dir: Path, tmp_path: Path) -> None:
    study = Study.of(tmp_path, tiny_llama_dir)
    study.config["prefill"] = {}
    study.config["samples"] = 6
    # rows reach the journal batch by batch: here a sample is a batch
    study.config["engine"] = {"batch_rows": 4}
    (study.folder / "mine.py").write_text(METHOD.format(pause=0.5))
    journal = study.folder / "results/journal/tiny/dense/niah/384.jsonl"
    running = subprocess.Popen(
        study.command(DENSE),
        env=study.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 600
        while not (journal.is_file() and journal.read_text().count("\n") >= 4):
            assert running.poll() is None and time.monotonic() < until, study.logs()
            time.sleep(0.05)
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    assert not (study.folder / DENSE).exists()

    study.run("--unlock")
    study.run(DENSE)  # incomplete files are computed anew: profiles/default says so
    computed, reused = study.rows()
    assert computed + reused == 6 * 4
    assert 4 <= reused < 6 * 4
