"""Measures synthesis: how full, how fast, how much memory."""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sparsebench.errors import UserError
from sparsebench.spec import TaskSpec
from sparsebench.synthesis import synthesise
from sparsebench.tasks.registry import load_task, task_classes

_MIB = 1024


@dataclass(frozen=True)
class Figure:
    """Synthesis of one task at one length: fill ratios, seconds of CPU time, peak memory of the whole process."""

    task: str
    length_tok: int
    samples: int
    least_fill: float = 0.0
    most_fill: float = 0.0
    seconds: float = 0.0
    peak_mib: float = 0.0
    refused: str = ""


def _spec(task: str, samples: int) -> TaskSpec:
    return TaskSpec(label=task, task=task, samples=samples, seed=0)


def measure(task: str, tokenizer_dir: Path, length_tok: int, samples: int) -> Figure:
    """Synthesise ``samples`` samples in a process of their own."""
    # Forking spares each measurement the import of the libraries; threads of a tokenizer do not survive it.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        return pool.submit(_measure, task, tokenizer_dir, length_tok, samples).result()


def _measure(task: str, tokenizer_dir: Path, length_tok: int, samples: int) -> Figure:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    spec = _spec(task, samples)
    start = time.process_time()
    try:
        prompt_tok = synthesise(spec, "bench", tokenizer_dir, length_tok)["prompt_tok"].to_pylist()
    except UserError as error:
        return Figure(task, length_tok, samples, refused=str(error).split(";")[0])
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB
    return Figure(task, length_tok, samples, min(prompt_tok) / length_tok, max(prompt_tok) / length_tok, seconds, peak)


def synthesis_figures(
    tokenizer_dir: Path,
    lengths: Sequence[int] = (4096, 32768, 131072),
    samples: int = 100,
    tasks: Sequence[str] = (),
) -> Iterator[str]:
    """Lines of a table of fill ratio, seconds of CPU time and peak memory per task (by default all) and length.

    A task that cannot be made at a length at its default parameters, or whose corpus is not there, says why.
    """
    if samples < 1 or min(lengths) < 1:
        raise UserError(f"samples {samples}, lengths {list(lengths)}; allowed: at least 1")
    for task in tasks:
        load_task(_spec(task, samples))
    yield f"{'task':<20} {'length':>8} {'samples':>8} {'fill':>15} {'CPU s':>8} {'peak MiB':>9}"
    for task in tasks or task_classes():
        for length in lengths:
            figure = measure(task, tokenizer_dir, length, samples)
            start = f"{task:<20} {length:>8} {samples:>8}"
            if figure.refused:
                yield f"{start}  {figure.refused}"
            else:
                fill = f"{figure.least_fill:.4f}-{figure.most_fill:.4f}"
                yield f"{start} {fill:>15} {figure.seconds:>8.1f} {figure.peak_mib:>9.0f}"
