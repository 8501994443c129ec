"""A loaded model with a cell's methods: what answers batches, on one process or on each of several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch

from sparsebench.engine.compiled import compile_layers, repays
from sparsebench.engine.generate import Generator
from sparsebench.engine.heads import decode_on, prefill_on
from sparsebench.engine.load import load, pick_device
from sparsebench.engine.memory import Memory, free_bytes
from sparsebench.engine.ops import load_ops
from sparsebench.engine.planner import Planner, Tag
from sparsebench.engine.ranks import ALONE, Ranks
from sparsebench.engine.rows import Answer, DecodeSetting, Job, PrefillSetting, Question
from sparsebench.errors import UserError
from sparsebench.methods import load_method
from sparsebench.models.info import ModelInfo
from sparsebench.spec import CellSpec

Told = tuple[Question, float, tuple[tuple[str, float], ...]]  # a job with labels in place of methods


class Worker:
    """Answers what a cell asks.

    Parameters
    ----------
    longest_tok
        Longest prompt plus answer of the cell.
    ranks
        This process's place among those that hold the model; rank 0 calls :meth:`answer`, the others :meth:`follow`.

    Attributes
    ----------
    prefill, decode
        The cell's methods as jobs name them; ``decode`` by label.
    """

    def __init__(self, cell: CellSpec, info: ModelInfo, longest_tok: int, ranks: Ranks = ALONE) -> None:
        device = pick_device(ranks.rank)
        self._ranks, self._memory_mib, self._batch_rows = ranks, cell.memory_mib, cell.batch_rows
        self.prefill = prefill_on(load_method(cell.prefill.spec, "prefill"), info.heads, ranks)
        self.decode = {
            sweep.spec.label: decode_on(load_method(sweep.spec, "decode"), info.heads, ranks) for sweep in cell.decode
        }
        loaded = load(Path(info.folder), cell.dtype, device, info.rope, longest_tok, ranks.size)
        self.model = loaded.model
        self.generator = Generator(loaded.model, loaded.tokenizer, load_ops(cell.impl, device), cell.cache, ranks)

    def quicken(self, steps: int) -> None:
        """Make ready for a cell of about so many decode steps: on a GPU, compile the layers where that repays.

        ``steps`` are those of all rows of the cell, whether computed by now or not: compiled layers round otherwise.
        Steps of a split model are not captured, so launches do not set their time, and its layers stay as they are.
        """
        if self.model.device.type == "cuda" and self._ranks.size == 1 and repays(self.model, steps):
            compile_layers(self.model)

    def planner(self, jobs: Iterable[tuple[Job, list[Tag]]]) -> Planner[Tag]:
        """Batches of ``jobs`` that fit the memory of each rank."""
        free = self._memory_mib * 2**20 if self._memory_mib else free_bytes(self.model.device)
        return Planner(jobs, Memory.of(self.model, self._ranks.size), free, self._batch_rows)

    def answer(
        self, jobs: Sequence[Job], finished: Callable[[int, int, Answer], None] | None = None
    ) -> list[list[Answer]]:
        """Answers of a batch, on all ranks together; see :meth:`Generator.answer`.

        A rank that runs out of memory cannot call the others back from where they wait for it, so with several the
        error is the user's to mend; alone it is the caller's (``torch.OutOfMemoryError``).
        """
        if self._ranks.size == 1:
            return self.generator.answer(jobs, finished)
        self._ranks.told([self._told(job) for job in jobs])
        try:
            return self.generator.answer(jobs, finished)
        except torch.OutOfMemoryError:
            fewer = f"lower engine.batch_rows ({self._batch_rows})" if len(jobs) > 1 else "name fewer sparsities"
            raise UserError(
                f"out of memory with {len(jobs)} prompts and {sum(len(job.decode) for job in jobs)} rows on each of "
                f"{self._ranks.size} GPUs; {fewer}, or give the model more `gpus`"
            ) from None

    def follow(self) -> None:
        """Compute what rank 0 computes, until it says that there is no more."""
        while (told := self._ranks.told()) is not None:
            self.generator.answer([self._job(one) for one in told])

    def end(self) -> None:
        """Let the other ranks go."""
        if self._ranks.size > 1:
            self._ranks.told(None)

    def _told(self, job: Job) -> Told:
        labels = {id(method): label for label, method in self.decode.items()}
        return job.question, job.prefill.budget, tuple((labels[id(d.method)], d.budget) for d in job.decode)

    def _job(self, told: Told) -> Job:
        question, budget, decode = told
        settings = tuple(DecodeSetting(self.decode[label], kept) for label, kept in decode)
        return Job(question, PrefillSetting(self.prefill, budget), settings)
