"""A model with several GPUs goes through the same rule, and gives the same table."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest
import torch

from tests.workflow.study import Study

CELL = "results/predictions/tiny/dense/niah/384.arrow"


@pytest.mark.skipif(torch.cuda.is_available(), reason="ranks on a CPU")
def test_two_ranks_in_the_same_rule(tmp_path: Path, tiny_llama_dir: Path) -> None:
    study = Study.of(tmp_path / "study", tiny_llama_dir)
    study.run(CELL)
    computed, _ = study.rows()
    one = pl.read_ipc((study.folder / CELL).read_bytes())
    study.config["models"]["tiny"]["gpus"] = 2
    study.run(CELL)
    assert study.rows() == (0, computed), "another number of GPUs recomputes nothing"
    shutil.rmtree(study.folder / "results/journal")
    study.run(CELL, "--force")
    assert study.rows() == (computed, 0)
    assert "the model is split over 2 processes" in study.logs()
    two = pl.read_ipc((study.folder / CELL).read_bytes())
    assert two.drop("decode_density").equals(one.drop("decode_density"))

    study.config["models"]["tiny"]["gpus"] = 3
    shutil.rmtree(study.folder / "results/journal")
    said = study.run(CELL, "--force", fails=True)
    assert "models.tiny.gpus: 3, and its 2 KV heads (of 4 query heads) cannot be shared equally; allowed: 1, 2" in said
    assert "Traceback" not in study.logs()
