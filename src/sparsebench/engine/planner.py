"""Which jobs run together: as many as memory allows, fewer after running out of it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Generic, TypeVar

from sparsebench.engine.memory import Memory
from sparsebench.engine.rows import Job
from sparsebench.errors import UserError

log = logging.getLogger("sparsebench")

Tag = TypeVar("Tag")  # what the caller wants back for each row of a job
MIB = 2**20


class Planner(Generic[Tag]):
    """Iterates over batches of (job, tags of its rows).

    A batch holds at least one job. Where a batch runs out of memory, tell :meth:`too_large`: its jobs come again in
    batches of half its size, and no later batch is larger.

    Parameters
    ----------
    jobs
        Jobs with one tag per decode setting.
    memory
        What jobs take.
    free
        Bytes that a batch may take.
    max_rows
        Rows of a batch, at most, as long as it holds more than one job.
    """

    def __init__(self, jobs: Iterable[tuple[Job, list[Tag]]], memory: Memory, free: int, max_rows: int) -> None:
        self._pending = deque(jobs)
        self._memory, self._free, self._max_rows = memory, free, max_rows
        self._max_jobs: int | None = None
        self._rows_per_job: int | None = None

    def __iter__(self) -> Iterator[list[tuple[Job, list[Tag]]]]:
        while self._pending:
            yield self._take()

    def _take(self) -> list[tuple[Job, list[Tag]]]:
        batch = [self._pending.popleft()]
        job, tags = batch[0]
        if self._rows_per_job is not None and len(tags) > self._rows_per_job:
            at = self._rows_per_job
            self._pending.appendleft((replace(job, decode=job.decode[at:]), tags[at:]))
            return [(replace(job, decode=job.decode[:at]), tags[:at])]
        while self._pending and self._fits([*batch, self._pending[0]]):
            batch.append(self._pending.popleft())
        return batch

    def need(self, jobs: Iterable[Job]) -> int:
        """Bytes that these jobs take together: prompts are prefilled one after the other."""
        chosen = list(jobs)
        held = sum(map(self._memory.held, chosen)) + self._memory.lists(chosen)
        return held + max(map(self._memory.working, chosen))

    def _fits(self, batch: list[tuple[Job, list[Tag]]]) -> bool:
        if self._max_jobs is not None and len(batch) > self._max_jobs:
            return False
        rows = sum(len(tags) for _, tags in batch)
        return rows <= self._max_rows and self.need(job for job, _ in batch) <= self._free

    def describe(self) -> str:
        """The first batch in words: what was chosen, and why no more."""
        batch: list[tuple[Job, list[Tag]]] = []
        for item in self._pending:
            if batch and not self._fits([*batch, item]):
                break
            batch.append(item)
        rows = sum(len(tags) for _, tags in batch)
        need, all_of_it = self.need(job for job, _ in batch), len(batch) == len(self._pending)
        more = rows + len(self._pending[len(batch)][1]) if not all_of_it else rows
        why = "that is all" if all_of_it else f"at most {self._max_rows} rows" if more > self._max_rows else "memory"
        return (
            f"{len(batch)} prompts with {rows} rows at a time ({why}): about {need // MIB} MiB beside the weights of "
            f"{self._free // MIB} MiB that a batch may use"
        )

    def too_large(self, batch: list[tuple[Job, list[Tag]]]) -> None:
        """Take a batch back that ran out of memory, and plan smaller ones from now on.

        Raises ``UserError`` when the batch was a single row, which cannot be made smaller.
        """
        self._pending.extendleft(reversed(batch))
        rows = sum(len(tags) for _, tags in batch)
        if len(batch) > 1:
            self._max_jobs = len(batch) // 2
            log.warning("out of memory with %d prompts and %d rows: %d at a time", len(batch), rows, self._max_jobs)
        elif rows > 1:
            self._rows_per_job = rows // 2
            log.warning("out of memory with 1 prompt and %d rows: %d rows at a time", rows, self._rows_per_job)
        else:
            job = batch[0][0]
            need, free = self.need([job]) // MIB, self._free // MIB
            raise UserError(
                f"out of memory with one prompt of {len(job.question.ids)} tokens and one row (planned: {need} MiB of "
                f"{free} MiB); give the job more memory, or lower `lengths`"
            )
