"""The tasks that the reference models learn and are judged on, read from a study's config."""

from __future__ import annotations

from pathlib import Path

import yaml

from sparsebench.errors import UserError
from sparsebench.spec import TaskSpec
from sparsebench.tasks.base import Task
from sparsebench.tasks.registry import load_task


def task_specs(config: Path, samples: int | None = None) -> list[TaskSpec]:
    """Task entries of a config, with the samples it asks for unless ``samples`` is given."""
    try:
        given = yaml.safe_load(config.read_text(encoding="utf-8"))
        entries = dict(given["tasks"])
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(f"{config}: not a config with `tasks:` ({error})") from None
    return [
        TaskSpec(
            label=label,
            task=entry["task"],
            params=entry.get("params") or {},
            samples=samples or entry.get("samples") or given.get("samples", 100),
            seed=given.get("seed", 0),
        )
        for label, entry in entries.items()
    ]


def trained_tasks(config: Path) -> dict[str, Task]:
    """Task by registered name; one entry per task."""
    specs = task_specs(config)
    names = [spec.task for spec in specs]
    if len(set(names)) < len(names):
        raise UserError(f"{config}: a task is listed twice; training knows one set of parameters per task")
    return {spec.task: load_task(spec) for spec in specs}
