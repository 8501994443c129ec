"""The ready-made studies: each is a sound config, has a small form that asks the same, and a section of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparsebench.config import Config, read_config
from sparsebench.grid import Grid

CONFIG = Path(__file__).parents[1] / "config"
STUDIES = sorted(path.stem for path in (CONFIG / "studies").glob("*.yaml"))


def study(name: str) -> Config:
    return read_config(CONFIG / "studies" / f"{name}.yaml")


def small(name: str) -> Config:
    return read_config(CONFIG / "nano" / f"{name}.yaml")


def test_there_are_six_and_each_has_a_small_form() -> None:
    assert len(STUDIES) == 6
    assert sorted(path.stem for path in (CONFIG / "nano").glob("*.yaml")) == STUDIES


def test_paper_is_the_whole_grid() -> None:
    config = read_config(CONFIG / "paper.yaml")
    assert (len(config.models), len(config.tasks), len(config.lengths)) == (9, 9, 4)
    methods = {m for m in (*config.prefill, *config.decode) if m not in ("oracle", "random")}
    assert methods == {"vertical_slash", "block_sparse", "flexprefill", "snapkv", "ada_snapkv", "quest"}
    assert Grid(config).dropped == []


@pytest.mark.parametrize("name", STUDIES)
def test_small_form_asks_the_same(name: str) -> None:
    large, nano = study(name), small(name)
    assert set(nano.prefill) <= set(large.prefill)
    assert set(nano.decode) <= set(large.decode)
    assert bool(nano.decode) == bool(large.decode)
    assert all(str(entry.path).startswith("resources/models/nano-") for entry in nano.models.values())


@pytest.mark.parametrize("name", STUDIES)
def test_small_form_is_small(name: str) -> None:
    grid = Grid(small(name))
    assert len(grid.cells) <= 36
    assert sum(grid.rows(key) for key in grid.cells) <= 6000
    assert max(small(name).lengths) <= 4096


@pytest.mark.parametrize("config", [study("decode_budgets"), small("decode_budgets")], ids=["large", "small"])
def test_a_fixed_number_of_tokens_comes_up_at_every_length(config: Config) -> None:
    budgets = [{round(length * (1 - s)) for s in config.sparsity} for length in config.lengths]
    assert len(set.intersection(*budgets)) >= 3


def test_docs_have_each_study_with_its_size() -> None:
    page = (CONFIG.parent / "docs" / "studies.md").read_text()
    for name in ("../paper", *STUDIES):
        config = read_config(CONFIG / "studies" / f"{name}.yaml")
        grid = Grid(config)
        rows = sum(grid.rows(key) for key in grid.cells)
        line = next(x for x in page.splitlines() if x.startswith("|") and f"{Path(name).name}.yaml`" in x)
        assert f"| {len(grid.cells)} | {rows:,} |" in line, line
