"""Tasks are found by folder and their parameters checked."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path

import pytest

import sparsebench.tasks as package
from sparsebench.errors import UserError
from sparsebench.spec import TaskSpec
from sparsebench.tasks.base import Task
from sparsebench.tasks.registry import load_task, task_classes
from sparsebench.tasks.ruler_niah import RulerNiah


def load(task: str, **params: object) -> object:
    return load_task(TaskSpec(label="mine", task=task, params=params, samples=1, seed=0))


def test_every_task_is_in_the_file_of_its_name() -> None:
    for name, cls in task_classes().items():
        assert cls.__module__ == f"{package.__name__}.{name}"
        assert (Path(package.__path__[0]) / f"{name}.py").is_file()


@pytest.mark.parametrize("cls", task_classes().values(), ids=task_classes())
def test_every_docstring_says_what_a_reader_needs(cls: type) -> None:
    for word in ("- Source:", "- Metric:", "- Chance:", "- Isolates:", "- Length:"):
        assert word in (cls.__doc__ or ""), f"{cls.__name__} lacks {word}"


@pytest.mark.parametrize("cls", task_classes().values(), ids=task_classes())
def test_parameters_of_scoring_have_defaults(cls: type[Task]) -> None:
    defaults = {field.name: field.default for field in fields(cls)}  # type: ignore[arg-type]
    assert all(defaults.get(name, MISSING) is not MISSING for name in cls.scoring)


def test_parameters_are_read() -> None:
    assert load("ruler_niah", keys=4, queries=2, haystack="needles") == RulerNiah(haystack="needles", keys=4, queries=2)


@pytest.mark.parametrize(
    ("task", "params", "message"),
    [
        ("ruler_nia", {}, r"tasks: mine: unknown task 'ruler_nia'; did you mean 'ruler_niah'\?"),
        ("ruler_niah", {"key": 2}, r"mine: params: unknown parameter of task ruler_niah 'key'; did you mean 'keys'\?"),
        ("qa_toefl", {"form": "squad"}, r"'form' \(allowed: answer_prefix, corpus, shortest_tok\)"),
        ("ruler_niah", {"keys": 0}, r"params: keys: .*greater than or equal to 1, got 0"),
        ("ruler_niah", {"haystack": "hay"}, r"haystack: Input should be 'noise', 'prose' or 'needles', got 'hay'"),
        ("ruler_niah", {"queries": 2}, r"queries is 2; allowed: at most keys \(1\)"),
        ("ruler_vt", {"hops": "many"}, r"hops: .*integer.*got 'many'"),
        ("ruler_cwe", {"freq_rare": 30}, r"freq_rare is 30; allowed: less than freq_common \(30\)"),
    ],
)
def test_mistakes_are_told(task: str, params: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(task, **params)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(UserError) as error:
        load("ruler_niah", keys=-1, values=0, haystack="hay")
    assert len(str(error.value).splitlines()) == 3
