"""The training run of one size within a time budget."""

from __future__ import annotations

import csv
import logging
import math
import shutil
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import LlamaForCausalLM

from sparsebench.errors import unknown
from sparsebench.tasks.base import Task
from sparsebench.tasks.window import load_tokenizer
from sparsebench.train.batches import Batch, Feed
from sparsebench.train.checkpoint import resume, save
from sparsebench.train.ladder import WEIGHTS, Curriculum
from sparsebench.train.model import SIZES, build, for_training
from sparsebench.train.muon import Muon
from sparsebench.train.objective import loss_and_right
from sparsebench.train.replicas import Replicas
from sparsebench.train.schedule import WARM_UP_STEPS, rate
from sparsebench.train.vocabulary import build_tokenizer, save_tokenizer

log = logging.getLogger("sparsebench")

_JUDGE_EVERY = 5
"""Steps between looks at the results, which wait for the device and the other ranks."""


@dataclass(frozen=True)
class Run:
    """What one leg of training does; see ``sparsebench train --help`` for the fields."""

    size: str
    output: Path
    minutes: float
    resume: Path | None = None
    final: bool = False
    workers: int = 4
    device: str = "cpu"
    compiled: bool = True
    optimizer: Literal["muon", "adamw"] = "muon"
    rate: float | None = None
    tokens: int = 65_536
    accumulate: int = 1
    seed: int = 0
    steps: int | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    longest_tok: int = 8192
    log_every_s: float = 20.0
    save_every_s: float = 60.0


def peak_rate(run: Run) -> float:
    """The learning rate asked for, or the size's own."""
    if run.size not in SIZES:
        raise unknown("size", run.size, SIZES, "--size")
    return SIZES[run.size].rate if run.rate is None else run.rate


def optimizers_of(model: LlamaForCausalLM, run: Run) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices and AdamW for the rest, or AdamW for all."""
    peak = peak_rate(run)
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    ids = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in ids]
    settings: dict[str, Any] = {"betas": (0.9, 0.95), "fused": run.device.startswith("cuda")}
    if run.optimizer == "muon":
        return [
            Muon(matrices, lr=peak, weight_decay=0.03),
            torch.optim.AdamW(rest, lr=peak, weight_decay=0.0, **settings),
        ]
    groups = [{"params": matrices, "weight_decay": 0.03}, {"params": rest, "weight_decay": 0.0}]
    return [torch.optim.AdamW(groups, lr=peak, **settings)]


class _Figures:
    """Running loss and share of right answers per (task, level), for log and curves."""

    def __init__(self, path: Path, curriculum: Curriculum) -> None:
        self._path, self._curriculum = path, curriculum
        self._sums: dict[tuple[str, int], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])

    def add(self, task: str, level: int, loss: float, right: float) -> None:
        sums = self._sums[task, level]
        for i, value in enumerate((1.0, loss, right)):
            sums[i] += value

    def flush(self, minute: float, tokens: float, factor: float) -> str:
        """Append to the curves and return a line per task for the log."""
        new = not self._path.exists()
        lines: dict[str, list[str]] = defaultdict(list)
        with self._path.open("a", newline="") as file:
            out = csv.writer(file)
            if new:
                out.writerow(["minute", "tokens", "rate", "task", "level", "prompt_tok", "batches", "loss", "right"])
            for (task, level), (n, loss, right) in sorted(self._sums.items()):
                prompt_tok = self._curriculum.levels[task][level].prompt_tok
                place = [f"{minute:.2f}", int(tokens), f"{factor:.3f}", task, level, prompt_tok, int(n)]
                out.writerow([*place, f"{loss / n:.4f}", f"{right / n:.4f}"])
                lines[task].append(f"{level}@{prompt_tok}:{right / n:.2f}({loss / n:.2f})")
        self._sums.clear()
        return "\n".join(
            f"    {task:16s} level {climb.level}/{len(self._curriculum.levels[task]) - 1} running {climb.right:.2f} | "
            + " ".join(lines[task])
            for task, climb in self._curriculum.climbs.items()
        )


class _Leg:
    """One leg of one rank: model, optimizers, curriculum, batches, and how far it has come."""

    def __init__(self, run: Run, tasks: Mapping[str, Task], scratch: Path) -> None:
        self._began = time.monotonic()
        torch.manual_seed(run.seed)
        torch.set_float32_matmul_precision("high")
        self.run, self.replicas = run, Replicas(run.device)
        run.output.mkdir(parents=True, exist_ok=True)
        self.tokenizer = load_tokenizer(run.resume) if run.resume else build_tokenizer(tasks)
        self.model = build(run.size, self.tokenizer).to(self.replicas.device)
        self.parameters = list(self.model.parameters())
        self.optimizers = optimizers_of(self.model, run)
        self.curriculum = Curriculum({**WEIGHTS, **run.weights}, run.longest_tok)
        self._done: dict[str, Any] = {"minutes": 0.0, "device_minutes": 0.0, "steps": 0, "tokens": 0}
        if run.resume:
            self._resume(run.resume)
        self._warm = run.resume is not None and (run.resume / "state.pt").is_file()
        for_training(self.model, run.compiled)
        self.model.train()
        millions, size = self.model.num_parameters() / 1e6, len(self.tokenizer)
        log.info("%s: %.2f M parameters, %d entries, %d replicas", run.size, millions, size, self.replicas.count)
        save_tokenizer(self.tokenizer, scratch)
        seed = run.seed * 1_000_003 + int(self._done["steps"]) + self.replicas.rank * 500_009
        self.feed = Feed((dict(tasks), self.curriculum, scratch, run.tokens), run.workers, seed)
        self.figures = _Figures(run.output / "curve.csv", self.curriculum)
        self._unjudged: list[tuple[Batch, torch.Tensor, torch.Tensor]] = []
        self.steps, self._tokens, self._waited, self.stop = 0, 0, 0.0, False
        self._last_log = self._last_save = time.monotonic()
        self._logged_tokens = 0

    def _resume(self, folder: Path) -> None:
        self._done |= resume(folder, self.model, self.optimizers, self.curriculum)
        curve, own = folder / "curve.csv", self.run.output / "curve.csv"
        if self.replicas.rank == 0 and curve.is_file() and curve.resolve() != own.resolve():
            shutil.copy(curve, own)

    def share(self) -> float:
        """Share of the leg's time that has passed on the first rank; 1 and more ends it."""
        run = self.run
        over = self.stop or (run.steps is not None and self.steps >= run.steps)
        return self.replicas.agree(math.inf if over else (time.monotonic() - self._began) / (run.minutes * 60))

    def step(self, share: float) -> float:
        """One update of the weights; returns the factor on the learning rate."""
        factor = rate(self.steps + (WARM_UP_STEPS if self._warm else 0), share, self.run.final)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = peak_rate(self.run) * factor
        for _ in range(self.run.accumulate):
            asked = time.monotonic()
            batch = self.feed.next()
            self._waited += time.monotonic() - asked
            loss, right = loss_and_right(self.model, batch, self.replicas.device)
            (loss / self.run.accumulate).backward()
            self._unjudged.append((batch, loss.detach(), right))
        self.replicas.average(self.parameters)
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        return factor

    def judge(self) -> None:
        """Take the results since the last look, of all ranks, into curriculum and figures."""
        waiting, self._unjudged = self._unjudged, []
        values = torch.stack([torch.stack((loss, right)) for _, loss, right in waiting]).tolist() if waiting else []
        own = [(b.task, b.level, b.ids.size, *value) for (b, _, _), value in zip(waiting, values, strict=True)]
        for task, level, tokens, loss, right in self.replicas.gather(own):
            self._tokens += tokens
            self.figures.add(task, level, loss, right)
            if self.curriculum.record(task, level, right):
                new = self.curriculum.climbs[task].level
                log.info("%s climbs to level %d (%d tokens)", task, new, self.curriculum.levels[task][new].prompt_tok)
        self.feed.follow(self.curriculum)

    def totals(self) -> dict[str, Any]:
        """All legs so far; ``final``: whether the learning rate has come to its end."""
        minutes, device = (time.monotonic() - self._began) / 60, self.replicas.device
        return {
            "minutes": self._done["minutes"] + minutes,
            "device_minutes": self._done["device_minutes"] + minutes * self.replicas.count,
            "steps": self._done["steps"] + self.steps,
            "tokens": self._done["tokens"] + self._tokens,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
            "final": self.run.final and minutes >= self.run.minutes,
        }

    def report(self, factor: float, ended: bool = False) -> None:
        """On the first rank, log and save when it is time to, or when the leg has ended."""
        if self.replicas.rank != 0:
            return
        now, totals = time.monotonic(), self.totals()
        if ended or now - self._last_log > self.run.log_every_s:
            table = self.figures.flush(totals["minutes"], totals["tokens"], factor)
            passed, feed = now - self._last_log, self.feed
            log.info(
                "minute %.2f step %d: %.0f k tokens/s, waited %.0f %%, reused %.0f %%, rate %.2e\n%s",
                totals["minutes"],
                totals["steps"],
                (self._tokens - self._logged_tokens) / passed / 1e3,
                100 * self._waited / passed,
                100 * feed.again / max(1, feed.again + feed.fresh),
                peak_rate(self.run) * factor,
                table,
            )
            self._last_log, self._logged_tokens, self._waited, feed.again, feed.fresh = now, self._tokens, 0.0, 0, 0
        if ended or now - self._last_save > self.run.save_every_s:
            save(self.run.output, self.model, self.tokenizer, self.optimizers, self.curriculum, totals)
            self._last_save = time.monotonic()


def train(run: Run, tasks: Mapping[str, Task]) -> None:
    """Train until the time is spent (or ``steps`` are done, or SIGTERM), saving about once a minute and at the end.

    Under ``torchrun`` all processes train one model: a step takes ``accumulate`` micro-batches from each; the first
    rank keeps the time and writes the files.

    Seeds are fixed, but which batches come when depends on the speed of workers and device, and atomic additions on a
    GPU are not ordered: two runs agree in distribution, not bit by bit.

    Parameters
    ----------
    tasks
        Task by registered name, with the parameters of the benchmark.
    """
    with tempfile.TemporaryDirectory(prefix="sparsebench-train-") as scratch:
        leg = _Leg(run, tasks, Path(scratch))

        def ask_to_stop(number: int, frame: object) -> None:
            leg.stop = True

        previous = signal.signal(signal.SIGTERM, ask_to_stop)
        try:
            factor = 0.0
            while (share := leg.share()) < 1:
                factor = leg.step(share)
                if leg.steps % _JUDGE_EVERY == 0:
                    leg.judge()
                    leg.report(factor)
            leg.judge()
            leg.report(factor, ended=True)
            minutes, tokens = leg.totals()["minutes"], leg.totals()["tokens"]
            log.info("saved %s after %.2f minutes and %.0f M tokens", run.output, minutes, tokens / 1e6)
        finally:
            leg.feed.close()
            leg.replicas.close()
            signal.signal(signal.SIGTERM, previous)
