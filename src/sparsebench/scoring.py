"""Scores the predictions of one cell. Scorers see texts and gold answers, never a model."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from sparsebench.errors import UserError
from sparsebench.spec import TaskSpec
from sparsebench.tables import SCORES
from sparsebench.tasks.registry import load_task


def score_cell(task: TaskSpec, predictions: pa.Table, samples: pa.Table) -> pa.Table:
    """One row of the schema ``SCORES`` per row of ``predictions``, in their order.

    Parameters
    ----------
    task
        The task as configured.
    predictions, samples
        Tables of the schemas ``PREDICTIONS`` and ``SAMPLES`` of the same task and length.

    Raises
    ------
    UserError
        If a prediction belongs to another task or to no sample.
    """
    scorer = load_task(task)
    columns = ["sample", "task", "length_tok", "answers", "meta", "evidence_tok"]
    gold = {(row["length_tok"], row["sample"]): row for row in samples.select(columns).to_pylist()}
    shared = [name for name in SCORES.names if name in predictions.schema.names]
    rows: list[dict[str, Any]] = []
    for row in predictions.select([*shared, "text"]).to_pylist():
        key = (row["length_tok"], row["sample"])
        if key not in gold or {row["task"], gold[key]["task"]} != {task.label}:
            raise UserError(
                f"task {task.label}: a prediction for task {row['task']}, length {key[0]}, sample {key[1]} has no such "
                "sample; predictions and samples are of different runs: delete the predictions and run again"
            )
        meta = json.loads(gold[key]["meta"])
        score = scorer.score(row.pop("text"), gold[key]["answers"], meta)
        if not 0 <= score.value <= 1:
            raise ValueError(f"task {task.task} scored {score.value}, outside [0, 1]")
        rows.append(
            row
            | {
                "score": score.value,
                "parse_failed": score.parse_failed,
                "evidence_tok": gold[key]["evidence_tok"],
                "chance": scorer.chance_of(gold[key]["answers"], meta),
                "metric": scorer.metric_name(),
            }
        )
    return pa.Table.from_pylist(rows, schema=SCORES)
