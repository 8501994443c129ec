"""A model with several GPUs goes through the same rule, and gives the same table."""

from __future__ import annotations

import shutil

import polars as pl
import pytest
import torch

from tests.workflow.study import Study, jobs

CELL = "results/predictions/tiny/dense/niah/384.arrow"


@pytest.mark.skipif(torch.cuda.is_available(), reason="ranks on a CPU")
def test_two_ranks_in_the_same_rule(fresh: Study) -> None:
    fresh.run(CELL)
    computed, _ = fresh.rows()
    one = pl.read_ipc((fresh.folder / CELL).read_bytes())
    fresh.config["models"]["tiny"]["gpus"] = 2
    assert jobs(fresh.run(CELL)) == {}, "another number of GPUs recomputes nothing"
    fresh.run(CELL, "--force")
    assert fresh.rows() == (0, computed)
    shutil.rmtree(fresh.folder / "results/journal")
    fresh.run(CELL, "--force")
    assert fresh.rows() == (computed, 0)
    assert "the model is split over 2 processes" in fresh.logs()
    two = pl.read_ipc((fresh.folder / CELL).read_bytes())
    assert two.drop("decode_density").equals(one.drop("decode_density"))

    fresh.config["models"]["tiny"]["gpus"] = 3
    shutil.rmtree(fresh.folder / "results/journal")
    said = fresh.run(CELL, "--force", fails=True)
    assert "models.tiny.gpus: 3, and its 2 KV heads (of 4 query heads) cannot be shared equally; allowed: 1, 2" in said
    assert "Traceback" not in fresh.logs()
