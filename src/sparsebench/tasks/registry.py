"""Finds tasks by folder: every module of this package that defines a task adds it."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import inspect
import pkgutil
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

import sparsebench.tasks as package
from sparsebench.errors import UserError, unknown
from sparsebench.source import PACKAGE, source_digest
from sparsebench.spec import TaskSpec
from sparsebench.tasks.base import Task


@cache
def task_classes() -> dict[str, type[Task]]:
    """Every task class by its name."""
    found: dict[str, type[Task]] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if issubclass(cls, Task) and cls.__module__ == module.__name__ and not inspect.isabstract(cls):
                found[cls.name] = cls
    return dict(sorted(found.items()))


def _class_of(spec: TaskSpec) -> type[Task]:
    if spec.task not in task_classes():
        raise unknown("task", spec.task, task_classes(), f"tasks: {spec.label}")
    return task_classes()[spec.task]


def load_task(spec: TaskSpec) -> Task:
    """The task of ``spec`` with its parameters checked.

    Raises
    ------
    UserError
        For an unknown task, an unknown parameter or a value that is not allowed, all of them in one message.
    """
    where = f"tasks: {spec.label}"
    cls = _class_of(spec)
    fields = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for name in spec.params:
        if name not in fields:
            raise unknown(f"parameter of task {spec.task}", name, fields, f"{where}: params")
    adapter: TypeAdapter[Any] = TypeAdapter(cls)
    try:
        task: Task = adapter.validate_python(dict(spec.params))
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = ".".join(str(part) for part in problem["loc"]) or "params"
            given = "" if problem["type"] == "value_error" else f", got {problem['input']!r}"
            lines.append(f"{where}: params: {name}: {problem['msg'].removeprefix('Value error, ')}{given}")
        raise UserError("\n".join(lines)) from None
    return task


@cache
def _digest(cls: type[Task]) -> str:
    digest = hashlib.sha256(
        source_digest(Path(inspect.getfile(cls)), PACKAGE / "synthesis.py", PACKAGE / "scoring.py").encode()
    )
    # Word lists and shipped corpora make samples too, though no module imports them.
    for folder in ("tasks/words", "corpora/fixtures"):
        for path in sorted(path for path in (PACKAGE / folder).iterdir() if path.suffix in (".txt", ".json")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def task_digest(spec: TaskSpec) -> str:
    """Digest of the code and data that make and score the samples of ``spec``, for rule params."""
    return _digest(_class_of(spec))
