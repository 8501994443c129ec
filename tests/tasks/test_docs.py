"""What docs/tasks.md says is so."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path

import pytest

from sparsebench.spec import TaskSpec
from sparsebench.synthesis import make_sample
from sparsebench.tasks.base import Task
from sparsebench.tasks.registry import task_classes
from sparsebench.tasks.window import Window, load_tokenizer

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")


def test_every_task_has_a_row() -> None:
    assert [name for name in task_classes() if f"\n| `{name}` |" not in PAGE] == []


def test_the_example_is_a_task(tokenizer_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "home.py"
    path.write_text(PAGE.split("## Adding a task")[1].split("```python\n")[1].split("```")[0])
    spec = importlib.util.spec_from_file_location("home", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "home", module)
    spec.loader.exec_module(module)
    assert issubclass(module.Home, Task) and not inspect.isabstract(module.Home)
    task = module.Home()
    window = Window(load_tokenizer(tokenizer_dir), task.minimum_tok)
    for index in range(3):
        sample, encoded, _ = make_sample(
            task, TaskSpec(label="home", task="home", samples=1, seed=1), index, "t", window
        )
        assert sample.user.count(sample.answers[0]) == 1 and len(encoded.evidence_tok) == 1
        assert task.score(sample.perfect, sample.answers, sample.meta).value == 1
        assert task.score("", sample.answers, sample.meta).parse_failed
