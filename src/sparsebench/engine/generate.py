"""Greedy answers to a batch of jobs: one prefill a job, then all rows of all jobs decode together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sparsebench.engine.batch import prefill_batch, start_decoding
from sparsebench.engine.ops import Ops
from sparsebench.engine.ranks import ALONE, Ranks
from sparsebench.engine.rows import Answer, Job, Question
from sparsebench.engine.step import Stepper
from sparsebench.spec import Cache


@dataclass
class _Progress:
    """A row while it decodes: which answer of which job it is, and its tokens so far."""

    job: int
    place: int
    question: Question
    prefill_density: float
    ids: list[int]


class Generator:
    """Answers jobs with one model.

    Parameters
    ----------
    model
        A patched model in evaluation mode.
    cache
        ``shared``: all rows read the full prompt cache through index lists. ``compacted``: evicting rows own a short
        cache and what they dropped is freed.
    ranks
        This process's place among those that hold the model. All of them answer the same jobs.

    Attributes
    ----------
    prefill_s, decode_s, prefills, steps
        Seconds and counts so far, for the job's log.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        ops: Ops,
        cache: Cache = "shared",
        ranks: Ranks = ALONE,
    ) -> None:
        self._model, self._tokenizer, self._ops, self._cache = model, tokenizer, ops, cache
        self._ranks = ranks
        self._eos = _eos_ids(model, tokenizer)
        self.prefill_s = self.decode_s = 0.0
        self.prefills = self.steps = 0

    @torch.inference_mode()
    def answer(
        self, jobs: Sequence[Job], finished: Callable[[int, int, Answer], None] | None = None
    ) -> list[list[Answer]]:
        """Answers per job, in the order of its decode settings.

        ``finished(job, place, answer)`` is told of each as soon as it is there, while others still decode.
        """
        began = time.perf_counter()
        stepper, progress = self._begin(jobs)
        self.prefills += len(jobs)
        if self._model.device.type == "cuda":
            torch.cuda.synchronize(self._model.device)  # so that the two phases' seconds are their own
        self.prefill_s += time.perf_counter() - began
        began = time.perf_counter()
        answers = self._decode(stepper, progress, finished)
        self.decode_s += time.perf_counter() - began
        return [[answers[j, place] for place in range(len(job.decode))] for j, job in enumerate(jobs)]

    def _begin(self, jobs: Sequence[Job]) -> tuple[Stepper, list[_Progress]]:
        # on its own, so that nothing but the stepper holds on to the prompts' cache and the methods' state
        batch = prefill_batch(self._model, self._ops, jobs)
        progress = [
            _Progress(number, place, job.question, density, [])
            for number, (job, density) in enumerate(zip(jobs, self._measured(batch.densities), strict=True))
            for place in range(len(job.decode))
        ]
        return start_decoding(self._model, self._ops, batch, self._cache), progress

    def _decode(
        self, stepper: Stepper, live: list[_Progress], finished: Callable[[int, int, Answer], None] | None
    ) -> dict[tuple[int, int], Answer]:
        """Answers by job and place."""
        answers: dict[tuple[int, int], Answer] = {}
        done = [False] * len(live)
        while not all(done):
            tokens = stepper.step()
            self.steps += 1
            densities: list[float] | None = None
            for i, (row, token) in enumerate(zip(live, tokens, strict=True)):
                if done[i]:
                    continue
                row.ids.append(token)
                reason, text = self._ended(row)
                if reason is None:
                    continue
                densities = self._measured(stepper.run.densities()) if densities is None else densities
                answer = Answer(text, tuple(row.ids), reason, row.prefill_density, densities[i])
                answers[row.job, row.place] = answer
                if finished is not None:
                    finished(row.job, row.place, answer)
                done[i] = True
            going = [i for i, ended in enumerate(done) if not ended]
            if going and stepper.worth_dropping(len(live) - len(going)):
                live, done = [live[i] for i in going], [False] * len(going)
                stepper.keep(going)
        return answers

    def _measured(self, densities: Sequence[float]) -> list[float]:
        """Densities over the heads of all ranks."""
        return self._ranks.mean(densities, self._model.device)

    def _ended(self, row: _Progress) -> tuple[str | None, str]:
        """Why the row is done (None: it is not) and its text, cut before a stop string."""
        if row.ids[-1] in self._eos:
            return "eos", self._text(row.ids[:-1])
        if row.question.stop and self._stops_at_end(row):
            text = self._text(row.ids)
            hits = [at for at in (text.find(s) for s in row.question.stop) if at >= 0]
            if hits:
                return "stop", text[: min(hits)]
        if len(row.ids) >= row.question.max_new_tok:
            return "limit", self._text(row.ids)
        return None, ""

    def _stops_at_end(self, row: _Progress) -> bool:
        """A stop string lies in the last tokens: a token is at least a byte, so this looks far enough back."""
        tail = self._text(row.ids[-max(len(s.encode()) for s in row.question.stop) - 1 :])
        return any(s in tail for s in row.question.stop)

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


def _eos_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    found: set[int] = set()
    for holder in (tokenizer, model.config, model.generation_config):
        value = getattr(holder, "eos_token_id", None)
        found.update([] if value is None else [value] if isinstance(value, int) else value)
    return frozenset(found)
