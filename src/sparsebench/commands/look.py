"""Subcommands to look around with; none of them writes results."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

from sparsebench.commands.arguments import Commands, command, whole


def add(commands: Commands) -> None:
    """Declare the subcommands of this module."""
    sub = command(commands, "grid", "print the cells and rows of a config, and what was dropped", _grid)
    _config(sub)
    sub = command(commands, "plan", "print what a config will take: rows, tokens, GPU-hours, memory", _plan)
    sub.add_argument("--gpu", default="h100", help="kind of GPU: h200, h100, a100-80gb, a100-40gb, l40s, rtx-4090")
    sub.add_argument("--results", type=Path, default=Path("results"), metavar="DIR", help="of earlier runs")
    _config(sub)
    command(commands, "schema", "print the JSON schema of the config", _schema)
    command(commands, "columns", "print the columns of every table with units, as in docs/tables.md", _columns)
    sub = command(commands, "methods", "list the attention methods with their four axes", _methods)
    sub.add_argument("--page", action="store_true", help="all that they state, as in docs/methods.md")
    command(commands, "presets", "list the models that a config may name without more", _presets)
    command(commands, "tasks", "list the tasks with metric, chance, minimum length, source", _tasks)
    sub = command(commands, "show-sample", "print one prompt, its gold answer and what would score", _show)
    sub.add_argument("--task", required=True, help="a task of the config, or any task at its defaults")
    sub.add_argument("--length", type=whole(1), required=True, metavar="TOKENS")
    sub.add_argument(
        "--model",
        type=Path,
        metavar="PATH",
        help="model.json of a fetched model or a local folder, whose tokenizer counts; default: the config's first",
    )
    _config(sub)


def _config(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--config", type=Path, default=Path("config/config.yaml"), metavar="FILE", help="default: config/config.yaml"
    )


def _grid(given: argparse.Namespace) -> None:
    from sparsebench.config import read_config
    from sparsebench.grid import Grid

    for line in Grid(read_config(given.config)).lines():
        print(line)


def _plan(given: argparse.Namespace) -> None:
    from sparsebench.config import read_config
    from sparsebench.grid import Grid
    from sparsebench.plan import Planner

    for line in Planner(Grid(read_config(given.config)), given.gpu, given.results).lines():
        print(line)


def _schema(_: argparse.Namespace) -> None:
    from sparsebench.config import config_schema

    print(json.dumps(config_schema(), indent=2))


def _columns(_: argparse.Namespace) -> None:
    from sparsebench.tables.page import columns_page

    for line in columns_page():
        print(line)


def _methods(given: argparse.Namespace) -> None:
    from sparsebench.methods import method_classes
    from sparsebench.methods.page import methods_page

    if given.page:
        print("\n".join(methods_page()))
        return
    rows = [
        (phase, name, *(getattr(cls.axes, axis) for axis in ("unit", "importance", "budget", "cache")), cls.source)
        for (phase, name), cls in sorted(method_classes().items())
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _presets(_: argparse.Namespace) -> None:
    from sparsebench.models.presets import preset_table

    for line in preset_table():
        print(line)


def _tasks(_: argparse.Namespace) -> None:
    from sparsebench.tasks.listing import task_table

    print(task_table())


def _show(given: argparse.Namespace) -> None:
    from sparsebench.config import read_config
    from sparsebench.models.info import tokenizer_dir
    from sparsebench.names import task_spec
    from sparsebench.spec import TaskSpec
    from sparsebench.tasks.listing import show_sample
    from sparsebench.tasks.registry import load_task

    config = read_config(given.config)
    if given.task in config.tasks:
        spec = task_spec(config, given.task)
    else:
        spec = TaskSpec(label=given.task, task=given.task, samples=1, seed=config.seed)
    load_task(spec)  # its mistakes are told first
    model = given.model or _first_there({name: model.path for name, model in config.models.items()})
    print(show_sample(spec, tokenizer_dir(model), given.length))


def _first_there(models: Mapping[str, str | None]) -> Path:
    """Of models, each with its local folder if it has one, the first that is there: ``model.json`` or the folder."""
    from sparsebench.errors import UserError

    places = {name: Path("results/models") / name / "model.json" for name in models}
    for name, folder in models.items():
        if places[name].is_file():
            return places[name]
        if folder is not None:
            return Path(folder).expanduser()
    raise UserError(
        "no model of the config is fetched yet, and its tokenizer is needed to count: run "
        f"`snakemake --cores 1 {next(iter(places.values()))}` first, or name another one by --model"
    )
