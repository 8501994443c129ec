"""A cell computes what its journal lacks, and nothing else."""

from __future__ import annotations

import json
import re

import pyarrow as pa
import pytest
import torch

from sparsebench.engine.generate import Generator
from sparsebench.engine.infer import infer_cell
from sparsebench.engine.worker import Worker
from sparsebench.errors import UserError
from sparsebench.models.info import describe_folder, write_info
from sparsebench.spec import CellSpec, MethodSpec, Sweep
from sparsebench.synthesis import sample_digest
from sparsebench.tables import PREDICTIONS, SAMPLES
from sparsebench.tasks.window import load_tokenizer, vocabulary_digest


def _samples(count: int, length: int = 90, max_new_tok: int = 5) -> pa.Table:
    rows = []
    for index in range(count):
        ids = [3 + (7 * index + 13 * i * i + i) % 90 for i in range(length - index)]
        rows.append(
            {
                "tokenizer": "tiny",
                "task": "made_up",
                "length_tok": length,
                "sample": index,
                "seed": index,
                "prompt": "",
                "prompt_ids": ids,
                "prompt_tok": len(ids),
                "answers": ["x"],
                "evidence_tok": [0],
                "max_new_tok": max_new_tok,
                "stop": [],
                "meta": "{}",
                "digest": sample_digest(ids, max_new_tok, []),
            }
        )
    return pa.Table.from_pylist(rows, schema=SAMPLES)


def _sweep(name: str, *sparsities: float, **params: object) -> Sweep:
    return Sweep(spec=MethodSpec(label=name, method=name, params=params, digest="d"), sparsities=sparsities)


def _cell(samples: int = 3, *decode: Sweep, **more: object) -> CellSpec:
    return CellSpec(
        model="tiny",
        prefill=_sweep("dense", 0.0),
        decode=(_sweep("dense", 0.0), *decode),
        task="made_up",
        length_tok=90,
        samples=samples,
        dtype="float32",
        **more,
    )


@pytest.fixture
def run(tiny_llama_dir, tmp_path, caplog):
    """Run a cell; returns its table and the (computed, reused, prefills) that its log states."""
    folder = tmp_path / "model"
    folder.mkdir()
    write_info(describe_folder("tiny", "path", tiny_llama_dir), folder)

    def go(cell: CellSpec, samples: pa.Table):
        caplog.clear()
        with caplog.at_level("INFO", logger="sparsebench"):
            table = infer_cell(cell, folder, samples, tmp_path / "journal" / "cell.jsonl")
        computed, reused = map(int, re.search(r"computed (\d+) rows, reused (\d+)", caplog.text).groups())
        prefills = re.search(r"(\d+) prefills", caplog.text)
        return table, (computed, reused, int(prefills[1]) if prefills else 0)

    return go


def test_one_prefill_serves_all_decode_rows_and_nothing_is_computed_twice(run):
    samples = _samples(4)
    cell = _cell(3, _sweep("quest", 0.5, 0.8), _sweep("snapkv", 0.5))
    table, counts = run(cell, samples)
    assert counts == (12, 0, 3)
    assert table.schema.names == PREDICTIONS.names
    assert table.num_rows == 12
    again, counts = run(cell, samples)
    assert counts == (0, 12, 0)
    assert again.equals(table)


def test_a_cell_that_is_resumed_counts_the_same_steps_for_compiling(run, monkeypatch, tmp_path):
    planned = []
    monkeypatch.setattr(Worker, "quicken", lambda worker, steps: planned.append(steps))
    samples, cell = _samples(4, max_new_tok=5), _cell(3, _sweep("quest", 0.5, 0.8), batch_rows=4)
    run(cell, samples)  # 9 rows, 4 at a time
    book = tmp_path / "journal" / "cell.jsonl"
    book.write_bytes(b"".join(book.read_bytes().splitlines(keepends=True)[:7]))  # killed before its last two rows
    assert run(cell, samples)[1] == (2, 7, 1)
    assert planned == [3 * 5, 3 * 5]


def test_a_new_sparsity_method_or_sample_computes_only_its_rows(run):
    samples = _samples(4)
    run(_cell(3, _sweep("quest", 0.5)), samples)
    assert run(_cell(3, _sweep("quest", 0.5, 0.9)), samples)[1] == (3, 6, 3)
    assert run(_cell(3, _sweep("quest", 0.5, 0.9), _sweep("random", 0.5)), samples)[1] == (3, 9, 3)
    assert run(_cell(4, _sweep("quest", 0.5, 0.9), _sweep("random", 0.5)), samples)[1] == (4, 12, 1)


def test_other_parameters_or_source_of_a_method_recompute_its_rows_alone(run):
    samples = _samples(2)
    run(_cell(2, _sweep("quest", 0.5)), samples)
    assert run(_cell(2, _sweep("quest", 0.5, page=32)), samples)[1] == (2, 2, 2)
    quest = _sweep("quest", 0.5)
    edited = quest.model_copy(update={"spec": quest.spec.model_copy(update={"digest": "edited"})})
    assert run(_cell(2, edited), samples)[1] == (2, 2, 2)


def test_renaming_a_method_in_the_config_recomputes_nothing(run):
    samples = _samples(2)
    run(_cell(2, _sweep("quest", 0.5)), samples)
    quest = _sweep("quest", 0.5)
    renamed = quest.model_copy(update={"spec": quest.spec.model_copy(update={"label": "my_quest"})})
    table, counts = run(_cell(2, renamed), samples)
    assert counts == (0, 4, 0)
    assert set(table["decode"].to_pylist()) == {"dense", "my_quest"}


def test_batches_of_any_size_give_the_same_rows(run, tmp_path):
    samples = _samples(4)
    one, _ = run(_cell(4, _sweep("quest", 0.5), _sweep("ada_snapkv", 0.7), batch_rows=1), samples)
    (tmp_path / "journal" / "cell.jsonl").unlink()
    many, _ = run(_cell(4, _sweep("quest", 0.5), _sweep("ada_snapkv", 0.7), batch_rows=64), samples)
    assert many["text"].equals(one["text"])
    assert many["decode_density"].to_pylist() == pytest.approx(one["decode_density"].to_pylist())


def test_out_of_memory_computes_the_same_rows_in_smaller_batches(run, tmp_path, monkeypatch, caplog):
    samples = _samples(4)
    cell = _cell(4, _sweep("quest", 0.5, 0.8))
    expected, _ = run(cell, samples)
    (tmp_path / "journal" / "cell.jsonl").unlink()
    real, tried = Generator.answer, []

    def limited(self, jobs, finished):
        tried.append(sum(len(job.decode) for job in jobs))
        if tried[-1] > 2:
            raise torch.OutOfMemoryError("injected")
        return real(self, jobs, finished)

    monkeypatch.setattr(Generator, "answer", limited)
    found, counts = run(cell, samples)
    assert counts[0] == 12
    assert tried[:3] == [12, 6, 3] and max(tried[3:]) <= 2
    assert found["text"].equals(expected["text"])


def test_a_prompt_that_does_not_fit_is_an_error_that_names_task_length_and_limit(run, tiny_llama_dir):
    limit = json.loads((tiny_llama_dir / "config.json").read_text())["max_position_embeddings"]
    with pytest.raises(UserError, match=rf"made_up at 90 tokens, sample 0.*takes {limit}"):
        run(_cell(1), _samples(1, max_new_tok=limit))


def test_too_few_samples_is_an_error(run):
    with pytest.raises(UserError, match="5 samples wanted, the table has 2"):
        run(_cell(5), _samples(2))


def test_samples_of_another_vocabulary_are_refused(run, tiny_llama_dir):
    samples = _samples(2)
    lent = samples.set_column(0, "tokenizer", pa.array(["other"] * 2))
    same = vocabulary_digest(load_tokenizer(tiny_llama_dir))
    assert run(_cell(2), lent.replace_schema_metadata({"vocabulary": same}))[1] == (2, 0, 2)
    with pytest.raises(UserError, match=r"models\.tiny\.tokenizer: the vocabulary of other"):
        run(_cell(2, _sweep("quest", 0.5)), lent.replace_schema_metadata({"vocabulary": "of another"}))
