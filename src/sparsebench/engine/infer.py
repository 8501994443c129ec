"""Compute the rows of one cell that its journal does not hold yet."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from sparsebench.engine.digest import engine_digest, row_digest
from sparsebench.engine.journal import Journal, locked
from sparsebench.engine.launch import started
from sparsebench.engine.load import pick_device, pick_dtype
from sparsebench.engine.memory import release
from sparsebench.engine.ops import load_ops
from sparsebench.engine.rows import Answer, DecodeSetting, Job, PrefillSetting, Question
from sparsebench.engine.worker import Worker
from sparsebench.errors import UserError
from sparsebench.methods.base import DecodeMethod, PrefillMethod
from sparsebench.models.info import ModelInfo, read_info
from sparsebench.spec import CellSpec, MethodSpec
from sparsebench.tables import PREDICTIONS
from sparsebench.tasks.window import load_tokenizer, vocabulary_digest

log = logging.getLogger("sparsebench")


@dataclass(frozen=True)
class _Row:
    """One row of the cell: its sample, both sparsities, and its key in the journal."""

    sample: dict[str, Any]
    prefill_sparsity: float
    decode: MethodSpec
    decode_sparsity: float
    digest: str


def _rows(cell: CellSpec, samples: pa.Table, info: ModelInfo, impl: str, dtype: str) -> list[_Row]:
    wanted = sorted((s for s in samples.to_pylist() if s["sample"] < cell.samples), key=lambda s: s["sample"])
    if len(wanted) < cell.samples:
        raise UserError(
            f"{cell.task} at {cell.length_tok} tokens: {cell.samples} samples wanted, the table has {len(wanted)}"
        )
    engine, model = engine_digest(), info.model_digest(_longest(cell, samples))
    return [
        _Row(
            sample, p, sweep.spec, d,
            row_digest(cell, sample["digest"], model, engine, impl, dtype, p, sweep.spec, d),
        )
        for p in cell.prefill.sparsities
        for sample in wanted
        for sweep in cell.decode
        for d in sweep.sparsities
    ]  # fmt: skip


def _longest(cell: CellSpec, samples: pa.Table) -> int:
    """Tokens of the longest prompt and answer that the cell may hold, whatever its number of samples."""
    return cell.length_tok + max(samples["max_new_tok"].to_pylist())


def _check_fits(cell: CellSpec, rows: Sequence[_Row], limit: int) -> None:
    for row in rows:
        need = row.sample["prompt_tok"] + row.sample["max_new_tok"]
        if need > limit:
            raise UserError(
                f"{cell.task} at {cell.length_tok} tokens, sample {row.sample['sample']}: prompt and answer need "
                f"{need} tokens, {cell.model} takes {limit}; prompts are never cut: lower `lengths` in the config"
            )


def _check_vocabulary(cell: CellSpec, samples: pa.Table, info: ModelInfo) -> None:
    """Ids that another model's tokenizer made must mean the same to this one."""
    lender = samples["tokenizer"][0].as_py()
    if lender == cell.model:
        return
    stated = (samples.schema.metadata or {}).get(b"vocabulary", b"").decode()
    if vocabulary_digest(load_tokenizer(Path(info.folder))) != stated:
        raise UserError(
            f"models.{cell.model}.tokenizer: the vocabulary of {lender} is not that of {cell.model}; allowed: a model "
            "with the same tokenizer, or no key for samples of its own"
        )


def _jobs(
    rows: Sequence[_Row], prefill: PrefillMethod, decode: dict[str, DecodeMethod]
) -> Iterator[tuple[Job, list[_Row]]]:
    """One job per (prefill sparsity, sample): the rows that share a prefill."""
    shared: dict[tuple[float, int], list[_Row]] = {}
    for row in rows:
        shared.setdefault((row.prefill_sparsity, row.sample["sample"]), []).append(row)
    for (sparsity, _), members in shared.items():
        sample = members[0].sample
        question = Question(
            tuple(sample["prompt_ids"]), sample["max_new_tok"], tuple(sample["stop"]), int(sample["seed"]) % 2**63
        )
        settings = tuple(DecodeSetting(decode[r.decode.label], 1 - r.decode_sparsity) for r in members)
        yield Job(question, PrefillSetting(prefill, 1 - sparsity), settings), members


def _entry(row: _Row, answer: Answer) -> dict[str, Any]:
    return {
        "prompt_tok": row.sample["prompt_tok"],
        "prefill_density": answer.prefill_density,
        "decode_density": answer.decode_density,
        "text": answer.text,
        "generated_tok": len(answer.ids),
        "stop_reason": answer.stop_reason,
    }


def _compute(cell: CellSpec, worker: Worker, missing: list[_Row], journal: Journal) -> None:
    planner = worker.planner(_jobs(missing, worker.prefill, worker.decode))
    log.info("%s", planner.describe())
    began, done = time.perf_counter(), 0
    for batch in planner:

        def keep(job: int, place: int, answer: Answer, batch: list[tuple[Job, list[_Row]]] = batch) -> None:
            row = batch[job][1][place]
            journal.add(row.digest, _entry(row, answer))

        try:
            worker.answer([job for job, _ in batch], keep)
            failed = False
        except torch.OutOfMemoryError:
            failed = True  # dealt with below: the exception holds on to the tensors of all frames it went through
        if failed:
            release(worker.model.device)
            planner.too_large(batch)
            continue
        done += sum(len(members) for _, members in batch)
        elapsed = time.perf_counter() - began
        left = elapsed / done * (len(missing) - done)
        log.info("%d of %d rows, %.0f s so far, about %.0f s to go", done, len(missing), elapsed, left)
    generator = worker.generator
    log.info(
        "%d prefills in %.1f s, %d decode steps in %.1f s",
        generator.prefills, generator.prefill_s, generator.steps, generator.decode_s,
    )  # fmt: skip


def infer_cell(cell: CellSpec, model_dir: Path, samples: pa.Table, journal: Path) -> pa.Table:
    """Predictions of all rows of ``cell``, computing only those that ``journal`` lacks.

    Parameters
    ----------
    model_dir
        Folder with ``model.json``, as ``fetch-model`` leaves it.
    samples
        Table of ``tables.SAMPLES`` of the cell's tokenizer, task and length.
    journal
        The cell's journal file; each row is written as soon as it is finished.

    Returns
    -------
    pa.Table
        ``tables.PREDICTIONS``, ordered by prefill sparsity, sample, decode method and decode sparsity.
    """
    info = read_info(model_dir)
    device = pick_device()
    impl = load_ops(cell.impl, device).impl
    rows = _rows(cell, samples, info, impl, str(pick_dtype(cell.dtype, device)))
    _check_fits(cell, rows, info.max_length_tok)
    with locked(journal) as book:
        missing = [row for row in rows if row.digest not in book.rows]
        reused = len(rows) - len(missing)
        log.info("%s / %s / %s / %d: %d rows, %d in the journal", cell.model, cell.prefill.spec.label, cell.task,
                 cell.length_tok, len(rows), reused)  # fmt: skip
        if missing:
            _check_vocabulary(cell, samples, info)
            with started(cell, info, _longest(cell, samples)) as worker:
                # by all rows, not the missing ones: a cell that is resumed goes on with the arithmetic it began with
                worker.quicken(ceil(len(rows) / cell.batch_rows) * max(row.sample["max_new_tok"] for row in rows))
                _compute(cell, worker, missing, book)
        log.info("computed %d rows, reused %d", len(missing), reused)
        entries = [
            {
                "model": cell.model,
                "prefill": cell.prefill.spec.label,
                "task": cell.task,
                "length_tok": cell.length_tok,
                "sample": row.sample["sample"],
                "prefill_sparsity": row.prefill_sparsity,
                "decode": row.decode.label,
                "decode_sparsity": row.decode_sparsity,
                "row_digest": row.digest,
                **book.rows[row.digest],
            }
            for row in rows
        ]
    return pa.Table.from_pylist(entries, schema=PREDICTIONS)
