"""A batch of jobs between its two phases: prompts prefilled, rows ready to decode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedModel

from sparsebench.engine.compact import compact
from sparsebench.engine.fanout import FanoutPass, FanoutRow
from sparsebench.engine.ops import Ops
from sparsebench.engine.prefill import PrefillPass, prefill
from sparsebench.engine.rows import Job, Question
from sparsebench.engine.step import Stepper, can_capture
from sparsebench.engine.store import PromptStore
from sparsebench.spec import Cache


@dataclass(frozen=True)
class Batch:
    """Prompts in the store, and all rows of all jobs in the order of the jobs and of their decode settings.

    ``questions`` and ``densities`` (of prefill) are one per job.
    """

    store: PromptStore
    rows: list[FanoutRow]
    questions: tuple[Question, ...]
    densities: tuple[float, ...]

    def only(self, rows: Sequence[int]) -> Batch:
        """The same prompts with some of the rows; compacting it leaves this batch's cache as it is."""
        return replace(self, store=self.store.alias(), rows=[self.rows[i] for i in rows])


def prefill_batch(model: PreTrainedModel, ops: Ops, jobs: Sequence[Job]) -> Batch:
    """Prefill the prompt of each job under its setting, and prepare all decode methods on the way."""
    store = PromptStore([len(job.question.ids) - 1 for job in jobs])
    rows: list[FanoutRow] = []
    densities: list[float] = []
    for number, job in enumerate(jobs):
        methods = list({id(d.method): d.method for d in job.decode}.values())
        run = PrefillPass(ops, store, number, job.prefill, methods, job.question.seed)
        prefill(model, job.question, run)
        states = {id(method): {layer: run.states[layer][m] for layer in run.states} for m, method in enumerate(methods)}
        rows += [FanoutRow(number, setting, states[id(setting.method)]) for setting in job.decode]
        densities.append(run.density)
    return Batch(store, rows, tuple(job.question for job in jobs), tuple(densities))


def start_decoding(model: PreTrainedModel, ops: Ops, batch: Batch, cache: Cache) -> Stepper:
    """A stepper over all rows of ``batch``, before its first step."""
    max_steps = max(question.max_new_tok for question in batch.questions)
    graph = can_capture(model, max_steps)
    run = FanoutPass(ops, batch.store, batch.rows, max_steps, fixed_size=graph)
    if cache == "compacted":
        compact(run, batch.store)
    stepper = Stepper(model, run, graph)
    asked = [batch.questions[row.prompt].ids for row in batch.rows]
    stepper.start([ids[-1] for ids in asked], [len(ids) - 1 for ids in asked])
    return stepper
