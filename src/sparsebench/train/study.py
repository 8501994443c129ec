"""The tasks that the reference models learn and are judged on, read from a study's config."""

from __future__ import annotations

from pathlib import Path

from sparsebench.config import read_config
from sparsebench.errors import UserError
from sparsebench.names import task_spec
from sparsebench.spec import TaskSpec
from sparsebench.tasks.base import Task
from sparsebench.tasks.registry import load_task


def task_specs(config: Path, samples: int | None = None) -> list[TaskSpec]:
    """Tasks of a config, with the samples it asks for unless ``samples`` is given."""
    study = read_config(config)
    specs = [task_spec(study, label) for label in study.tasks]
    return [spec.model_copy(update={"samples": samples}) for spec in specs] if samples else specs


def trained_tasks(config: Path) -> dict[str, Task]:
    """Task by registered name; one entry per task."""
    specs = task_specs(config)
    names = [spec.task for spec in specs]
    if len(set(names)) < len(names):
        raise UserError(f"{config}: a task is listed twice; training knows one set of parameters per task")
    return {spec.task: load_task(spec) for spec in specs}
