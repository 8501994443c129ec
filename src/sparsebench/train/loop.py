"""The training run of one size within a time budget."""

from __future__ import annotations

import csv
import logging
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
from sparsebench.train.schedule import WARM_UP_STEPS, rate
from sparsebench.train.vocabulary import build_tokenizer, save_tokenizer

log = logging.getLogger("sparsebench")

_JUDGE_EVERY = 5
"""Steps between looks at the results, which wait for the device."""


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

    def add(self, batch: Batch, loss: float, right: float) -> None:
        sums = self._sums[batch.task, batch.level]
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


def train(run: Run, tasks: Mapping[str, Task]) -> None:
    """Train until the time is spent (or ``steps`` are done, or SIGTERM), saving about once a minute and at the end.

    Seeds are fixed, but which batches come when depends on the speed of workers and device, and atomic additions on a
    GPU are not ordered: two runs agree in distribution, not bit by bit.

    Parameters
    ----------
    tasks
        Task by registered name, with the parameters of the benchmark.
    """
    began = time.monotonic()
    torch.manual_seed(run.seed)
    torch.set_float32_matmul_precision("high")
    device, peak = torch.device(run.device), peak_rate(run)
    run.output.mkdir(parents=True, exist_ok=True)
    tokenizer = load_tokenizer(run.resume) if run.resume else build_tokenizer(tasks)
    model = build(run.size, tokenizer).to(device)
    optimizers = optimizers_of(model, run)
    curriculum = Curriculum({**WEIGHTS, **run.weights}, run.longest_tok)
    done = {"minutes": 0.0, "steps": 0.0, "tokens": 0.0}
    if run.resume:
        done = resume(run.resume, model, optimizers, curriculum)
        if run.resume.resolve() != run.output.resolve() and (run.resume / "curve.csv").is_file():
            shutil.copy(run.resume / "curve.csv", run.output / "curve.csv")
    for_training(model, run.compiled)
    model.train()
    log.info("%s: %.2f M parameters, %d entries", run.size, model.num_parameters() / 1e6, len(tokenizer))
    stop = False

    def ask_to_stop(number: int, frame: object) -> None:
        nonlocal stop
        stop = True

    previous = signal.signal(signal.SIGTERM, ask_to_stop)
    scratch = Path(tempfile.mkdtemp(prefix="sparsebench-train-"))
    save_tokenizer(tokenizer, scratch)
    seed = run.seed * 1_000_003 + int(done["steps"])
    feed = Feed((dict(tasks), curriculum, scratch, run.tokens), run.workers, seed)
    figures = _Figures(run.output / "curve.csv", curriculum)
    waiting: list[tuple[Batch, torch.Tensor, torch.Tensor]] = []
    steps, tokens, waited = 0, 0, 0.0
    last_log = last_save = time.monotonic()
    logged_tokens = 0
    whole = run.resume is not None and (run.resume / "state.pt").is_file()

    def totals() -> dict[str, Any]:
        """``final``: whether the learning rate has come to its end."""
        minutes = (time.monotonic() - began) / 60
        return {
            "minutes": done["minutes"] + minutes,
            "steps": done["steps"] + steps,
            "tokens": done["tokens"] + tokens,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
            "final": run.final and minutes >= run.minutes,
        }

    def judge() -> None:
        values = torch.stack([torch.stack((loss, right)) for _, loss, right in waiting]).tolist() if waiting else []
        for (batch, _, _), (loss, right) in zip(waiting, values, strict=True):
            figures.add(batch, loss, right)
            if curriculum.record(batch.task, batch.level, right):
                new = curriculum.climbs[batch.task].level
                log.info(
                    "%s climbs to level %d (%d tokens)", batch.task, new, curriculum.levels[batch.task][new].prompt_tok
                )
        waiting.clear()
        feed.follow(curriculum)

    try:
        while not stop and (run.steps is None or steps < run.steps):
            share = (time.monotonic() - began) / (run.minutes * 60)
            if share >= 1:
                break
            factor = rate(steps + (WARM_UP_STEPS if whole else 0), share, run.final)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = peak * factor
            for _ in range(run.accumulate):
                asked = time.monotonic()
                batch = feed.next()
                waited += time.monotonic() - asked
                loss, right = loss_and_right(model, batch, device)
                (loss / run.accumulate).backward()
                waiting.append((batch, loss.detach(), right))
                tokens += batch.ids.size
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            steps += 1
            if steps % _JUDGE_EVERY == 0:
                judge()
            now = time.monotonic()
            if now - last_log > run.log_every_s:
                judge()
                table = figures.flush(totals()["minutes"], totals()["tokens"], factor)
                log.info(
                    "minute %.2f step %d: %.0f k tokens/s, waited %.0f %%, reused %.0f %%, rate %.2e\n%s",
                    totals()["minutes"],
                    totals()["steps"],
                    (tokens - logged_tokens) / (now - last_log) / 1e3,
                    100 * waited / (now - last_log),
                    100 * feed.again / max(1, feed.again + feed.fresh),
                    peak * factor,
                    table,
                )
                last_log, logged_tokens, waited, feed.again, feed.fresh = now, tokens, 0.0, 0, 0
            if now - last_save > run.save_every_s:
                save(run.output, model, tokenizer, optimizers, curriculum, totals())
                last_save = time.monotonic()
        judge()
        figures.flush(totals()["minutes"], totals()["tokens"], 0.0)
        save(run.output, model, tokenizer, optimizers, curriculum, totals())
        log.info(
            "saved %s after %.2f minutes and %.0f M tokens", run.output, totals()["minutes"], totals()["tokens"] / 1e6
        )
    finally:
        feed.close()
        shutil.rmtree(scratch, ignore_errors=True)
        signal.signal(signal.SIGTERM, previous)
