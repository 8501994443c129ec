"""Scoring a cell: one score per prediction, joined by sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sparsebench.errors import UserError
from sparsebench.scoring import score_cell
from sparsebench.spec import TaskSpec
from sparsebench.synthesis import synthesise
from sparsebench.tables import PREDICTIONS, SCORES

TASK = TaskSpec(label="needle", task="ruler_niah", params={"value_kind": "number", "values": 2}, samples=2, seed=3)


def prediction(sample: int, text: str, **other: Any) -> dict[str, Any]:
    row = {"model": "m", "prefill": "dense", "task": "needle", "length_tok": 1024, "sample": sample}
    row |= {"prefill_sparsity": 0.0, "decode": "quest", "decode_sparsity": 0.5, "prompt_tok": 1000}
    row |= {"prefill_density": 1.0, "decode_density": 0.5, "text": text, "generated_tok": 5}
    return row | {"stop_reason": "eos", "row_digest": "d"} | other


@pytest.fixture(scope="module")
def samples(tokenizer_dir: Path) -> pa.Table:
    return synthesise(TASK, "tiny", tokenizer_dir, 1024)


def test_each_prediction_is_scored_against_its_own_sample(samples: pa.Table) -> None:
    (a, b), (c, _) = samples["answers"].to_pylist()
    rows = [
        prediction(1, f"{a}, {b}"),
        prediction(0, f"{b} and {a}"),
        prediction(0, f" {a}"),
        prediction(1, "none", decode="dense"),
        prediction(1, c),
    ]
    table = score_cell(TASK, pa.Table.from_pylist(rows, schema=PREDICTIONS), samples)
    assert table.schema.equals(SCORES)
    assert table["score"].to_pylist() == [0.0, 1.0, 0.5, 0.0, 0.5]
    assert table["parse_failed"].to_pylist() == [False, False, False, True, False]
    assert table["decode"].to_pylist() == ["quest", "quest", "quest", "dense", "quest"]
    assert set(table["metric"].to_pylist()) == {"recall"} and set(table["chance"].to_pylist()) == {0.0}


def test_no_predictions_give_no_scores(samples: pa.Table) -> None:
    table = score_cell(TASK, PREDICTIONS.empty_table(), samples)
    assert table.num_rows == 0 and table.schema.equals(SCORES)


@pytest.mark.parametrize("wrong", [{"sample": 2}, {"length_tok": 2048}, {"task": "other"}])
def test_predictions_of_another_run_are_refused(samples: pa.Table, wrong: dict[str, Any]) -> None:
    row = prediction(0, "x") | wrong
    with pytest.raises(UserError, match="delete the predictions and run again"):
        score_cell(TASK, pa.Table.from_pylist([row], schema=PREDICTIONS), samples)
