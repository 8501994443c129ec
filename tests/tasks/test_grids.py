"""The named grids of tasks can be made."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sparsebench.config import read_config
from sparsebench.grid import Grid
from sparsebench.names import task_spec
from sparsebench.spec import TaskSpec
from sparsebench.synthesis import synthesise
from sparsebench.tasks.registry import load_task, task_classes

CONFIGS = Path(__file__).parents[2] / "config"


def test_the_smoke_grid_holds_every_task() -> None:
    config = read_config(CONFIGS / "smoke.yaml")
    assert {task_spec(config, label).task for label in config.tasks} == set(task_classes())


def test_the_studys_settings_are_parameters_of_its_nine_tasks(tokenizer_dir: Path) -> None:
    """As docs/tasks.md lists them; those on corpora that are fetched are only checked."""
    page = (CONFIGS.parent / "docs" / "tasks.md").read_text()
    tasks = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])["tasks"]
    assert len(tasks) == 9
    for name, entry in tasks.items():
        spec = TaskSpec(label=name, samples=1, seed=1, **{"task": name} | (entry or {}))
        if not load_task(spec).files():
            synthesise(spec, "tiny", tokenizer_dir, 8192)


@pytest.mark.model
@pytest.mark.parametrize("name", ["config", "smoke"])
def test_every_task_of_a_grid_exists_at_its_lengths(name: str, smollm2_dir: Path) -> None:
    grid = Grid(read_config(CONFIGS / f"{name}.yaml"))
    for tokenizer, task, length in grid.samples():
        path = grid.config.models[tokenizer].path
        folder = smollm2_dir / "weights" if path is None else CONFIGS.parent / path
        synthesise(grid.task(task).model_copy(update={"samples": 2}), tokenizer, folder, length)


@pytest.mark.model
@pytest.mark.parametrize("name", list(task_classes()))
def test_the_stated_minimum_length_is_enough_at_default_parameters(name: str, smollm2_dir: Path) -> None:
    cls = task_classes()[name]
    if cls().files():
        # The shipped corpora are too small for some minima: what decides there is the shortest length asked for.
        assert cls.minimum_tok == vars(cls())["shortest_tok"]
        return
    synthesise(TaskSpec(label=name, task=name, samples=8, seed=1), "smollm2", smollm2_dir / "weights", cls.minimum_tok)
