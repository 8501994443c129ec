"""Subcommands that make the reference models: train one, evaluate one."""

from __future__ import annotations

import argparse
from pathlib import Path

from sparsebench.commands.arguments import Commands, command, output, whole
from sparsebench.errors import UserError


def add(commands: Commands) -> None:
    """Declare the subcommands of this module."""
    sub = command(commands, "train", "train a reference model from nothing, or go on with one", _train)
    sub.add_argument("--size", required=True, help="nano-2m, nano-6m or nano-18m")
    sub.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="model folder, written every minute")
    sub.add_argument("--minutes", type=float, required=True, help="wall time of this leg, compilation included")
    sub.add_argument("--resume", type=Path, metavar="FOLDER", help="go on from what train wrote there")
    sub.add_argument("--final", action="store_true", help="the last leg: the learning rate decays to the end")
    sub.add_argument("--config", type=Path, default=Path("config/nano.yaml"), help="its tasks are learnt")
    sub.add_argument("--weight", action="append", default=[], metavar="TASK=W", help="change a task's share; 0: none")
    sub.add_argument("--longest", type=whole(1), default=8192, metavar="TOKENS", help="longest prompt trained on")
    sub.add_argument("--workers", type=whole(1), default=4, help="processes that make samples")
    sub.add_argument("--device", default="cuda", help="as torch names it")
    sub.add_argument("--no-compile", action="store_true", help="run without torch.compile")
    sub.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    sub.add_argument("--rate", type=float, help="peak learning rate; default: the size's own")
    sub.add_argument("--tokens", type=whole(1), default=65_536, help="tokens per micro-batch")
    sub.add_argument("--accumulate", type=whole(1), default=1, help="micro-batches per step")
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--steps", type=whole(1), help="end after so many steps, if time is left")

    sub = command(
        commands,
        "evaluate-model",
        "dense accuracy of a model folder on a config's tasks, into its model card",
        _evaluate,
    )
    sub.add_argument("--model", type=Path, required=True, metavar="FOLDER")
    sub.add_argument("--config", type=Path, default=Path("config/nano.yaml"))
    sub.add_argument("--lengths", type=whole(1), nargs="+", default=[1024, 2048, 4096], metavar="TOKENS")
    sub.add_argument(
        "--samples", type=whole(1), nargs="+", default=[100], metavar="N", help="for all lengths, or one each"
    )
    sub.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    sub.add_argument("--device", default="cuda", help="as torch names it")
    sub.add_argument("--card", action="store_true", help="write README.md of the folder anew")
    output(sub, "figures (.json)")


def _weights(given: list[str]) -> dict[str, float]:
    from sparsebench.train.ladder import WEIGHTS

    weights = {}
    for text in given:
        task, _, value = text.partition("=")
        if task not in WEIGHTS or not value.replace(".", "", 1).isdigit():
            raise UserError(f"--weight {text}: expected TASK=NUMBER; tasks: {', '.join(WEIGHTS)}")
        weights[task] = float(value)
    return weights


def _train(given: argparse.Namespace) -> None:
    from sparsebench.train.loop import Run, train
    from sparsebench.train.study import trained_tasks

    run = Run(
        size=given.size,
        output=given.output,
        minutes=given.minutes,
        resume=given.resume,
        final=given.final,
        workers=given.workers,
        device=given.device,
        compiled=not given.no_compile,
        optimizer=given.optimizer,
        rate=given.rate,
        tokens=given.tokens,
        accumulate=given.accumulate,
        seed=given.seed,
        steps=given.steps,
        weights=_weights(given.weight),
        longest_tok=given.longest,
    )
    train(run, trained_tasks(given.config))


def _evaluate(given: argparse.Namespace) -> None:
    from sparsebench.train.card import write_card
    from sparsebench.train.evaluate import figures, write
    from sparsebench.train.study import task_specs

    samples = given.samples * len(given.lengths) if len(given.samples) == 1 else given.samples
    if len(samples) != len(given.lengths):
        raise UserError(f"--samples {given.samples}: give one number, or one for each of --lengths {given.lengths}")
    specs = {length: task_specs(given.config, n) for length, n in zip(given.lengths, samples, strict=True)}
    command = [
        f"sparsebench evaluate-model --model {given.model} --lengths {' '.join(map(str, given.lengths))}",
        f"--samples {' '.join(map(str, given.samples))} --device {given.device} --dtype {given.dtype}",
        f"--output {given.output}" + (" --card" if given.card else ""),
    ]
    made = figures(given.model, specs, given.device, given.dtype, " ".join(command))
    write(made, given.output)
    if given.card:
        write_card(given.model, made)
