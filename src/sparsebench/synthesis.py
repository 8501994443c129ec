"""Makes the samples of one (tokenizer, task, length)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sparsebench.errors import UserError
from sparsebench.spec import TaskSpec
from sparsebench.tables import SAMPLES
from sparsebench.tasks.base import Sample, Task
from sparsebench.tasks.draw import Draw, stable_seed
from sparsebench.tasks.registry import load_task
from sparsebench.tasks.window import Encoded, Misfit, Window, load_tokenizer, too_short, vocabulary_digest


def sample_digest(prompt_ids: Sequence[int], max_new_tok: int, stop: Sequence[str]) -> str:
    """Digest of all that decides what a model answers: prompt, limit, stop strings."""
    text = json.dumps([list(prompt_ids), max_new_tok, list(stop)], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def draw_of(task: Task, seed: int, index: int, tokenizer: str, length_tok: int) -> Draw:
    """The randomness of sample ``index``.

    A parameter left at its default and one set to it give the same, and so do all values of a parameter of scoring.
    """
    defaults = {field.name: field.default for field in fields(task) if field.name in task.scoring}  # type: ignore[arg-type]
    params = json.dumps(asdict(task) | defaults, sort_keys=True)  # type: ignore[call-overload]
    series = f"{task.name}\0{params}\0{seed}"
    return Draw(stable_seed(series, index, tokenizer, length_tok), index, series)


def make_sample(
    task: Task, spec: TaskSpec, index: int, tokenizer: str, window: Window, tries: int = 4
) -> tuple[Sample, Encoded, Draw]:
    """Sample ``index``, and its prompt as the model gets it.

    The whole prompt is encoded once, at the end. Should it not fit, because texts have other tokens together than each
    by itself, the sample is made again with more care.
    """
    draw = draw_of(task, spec.seed, index, tokenizer, window.length_tok)
    sample = task.synthesise(draw, window)
    try:
        encoded = window.encode(sample.user, sample.answer_prefix, sample.evidence, f"task {spec.label}")
    except Misfit as misfit:
        if tries == 1:
            if window.length_tok < task.minimum_tok:
                raise too_short(spec.task, window, task.minimum_tok, spare=0) from None
            raise
        return make_sample(task, spec, index, tokenizer, window.after(misfit), tries - 1)
    return sample, encoded, draw


def synthesise(task: TaskSpec, tokenizer: str, tokenizer_dir: Path, length_tok: int) -> pa.Table:
    """All samples of a task for one tokenizer and length.

    Each sample depends only on task, parameters, seed, its index, tokenizer and length: making fewer or more samples
    changes none of them.

    Parameters
    ----------
    task
        Task, parameters, number of samples, seed.
    tokenizer
        Name of the tokenizer as in the config.
    tokenizer_dir
        Folder with its files.
    length_tok
        Tokens that every prompt fills to 95-100 %.

    Returns
    -------
    Table of the schema ``SAMPLES``; its metadata state the ``vocabulary`` of the tokens.
    """
    if length_tok < 1:
        raise UserError(f"task {task.label}: length_tok is {length_tok}; allowed: at least 1")
    generator = load_task(task)
    loaded = load_tokenizer(tokenizer_dir)
    window = Window(loaded, length_tok)
    columns: dict[str, list[Any]] = {name: [] for name in SAMPLES.names}
    for index in range(task.samples):
        sample, encoded, draw = make_sample(generator, task, index, tokenizer, window)
        row = {
            "tokenizer": tokenizer,
            "task": task.label,
            "length_tok": length_tok,
            "sample": index,
            "seed": draw.sample_seed,
            "prompt": encoded.prompt,
            # As an array the ids take a tenth of the memory that a list of them would.
            "prompt_ids": np.array(encoded.ids, np.int32),
            "prompt_tok": len(encoded.ids),
            "answers": list(sample.answers),
            "evidence_tok": encoded.evidence_tok,
            "max_new_tok": sample.max_new_tok,
            "stop": list(sample.stop),
            "meta": json.dumps(sample.meta, sort_keys=True, ensure_ascii=False),
            "digest": sample_digest(encoded.ids, sample.max_new_tok, sample.stop),
        }
        for name, value in row.items():
            columns[name].append(value)
    return pa.table(columns, schema=SAMPLES.with_metadata({"vocabulary": vocabulary_digest(loaded)}))
