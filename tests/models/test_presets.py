"""Presets: what the study needs is there, entries are laid over them, and they work from anywhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sparsebench.config import parse_config
from sparsebench.entries import ModelEntry
from sparsebench.grid import Grid
from sparsebench.models.presets import preset_table, presets

README = Path(__file__).parents[2] / "config" / "README.md"
STUDY = {"qwen2.5-7b", "qwen2.5-14b", "qwen2.5-32b", "qwen2.5-72b", "llama-3.1-8b", "llama-3.1-70b", "gemma-3-4b",
         "gemma-3-12b", "gemma-3-27b"}  # fmt: skip
# KV heads of the published configs: a GPU's share must be whole
KV_HEADS = {"qwen2.5-14b": 8, "qwen2.5-32b": 8, "qwen2.5-72b": 8, "llama-3.1-70b": 8, "gemma-3-12b": 8,
            "gemma-3-27b": 16, "qwen3-32b": 8}  # fmt: skip


def models(**given: object) -> dict[str, ModelEntry]:
    return parse_config({"lengths": [512], "tasks": {"ruler_niah": None}, "models": given}).models


def test_the_studys_nine_models_and_other_families_are_there() -> None:
    assert set(presets()) > STUDY
    assert {"qwen3-8b", "llama-2-7b", "mistral-7b", "phi-3.5-mini"} <= set(presets())


@pytest.mark.parametrize("name", sorted(presets()))
def test_a_preset_is_an_entry_that_says_all(name: str) -> None:
    entry = models(**{name: None})[name]
    assert entry.hub and entry.revision and entry.licence and entry.dtype == "bfloat16" and entry.gpus >= 1
    assert (entry.max_length_tok is None) == (entry.rope is not None)
    assert entry.gpus == 1 or KV_HEADS[name] % entry.gpus == 0
    assert entry.gated == entry.hub.startswith(("meta-llama/", "google/"))


def test_qwen_is_scaled_as_its_model_card_says() -> None:
    rope = models(**{"qwen2.5-7b": None})["qwen2.5-7b"].rope
    assert rope is not None
    assert (rope.rope_type, rope.factor, rope.original_max_position_embeddings, rope.length_tok) == (
        "yarn", 4.0, 32768, 131072,
    )  # fmt: skip


def test_an_entry_changes_keys_of_its_preset() -> None:
    found = models(
        plain={"preset": "llama-3.1-70b"},
        more={"preset": "llama-3.1-70b", "gpus": 8, "revision": "abc"},
        local={"preset": "llama-3.1-70b", "path": "/weights"},
        native={"preset": "qwen2.5-7b", "rope": None, "max_length_tok": 32768},
    )
    assert found["plain"] == models(**{"llama-3.1-70b": {}})["llama-3.1-70b"]
    assert (found["more"].gpus, found["more"].revision, found["more"].hub) == (8, "abc", found["plain"].hub)
    assert (found["local"].path, found["local"].hub, found["local"].gated, found["local"].gpus) == (
        "/weights", None, False, 4,
    )  # fmt: skip
    assert found["native"].rope is None and found["native"].max_length_tok == 32768


def test_a_source_of_its_own_wins_over_the_labels_preset() -> None:
    entry = models(**{"qwen2.5-7b": {"path": "/weights"}})["qwen2.5-7b"]
    assert entry == ModelEntry(path="/weights")


def test_what_a_preset_said_survives_a_round_trip() -> None:
    config = parse_config({
        "lengths": [512], "tasks": {"ruler_niah": None},
        "models": {"qwen2.5-7b": {"rope": None}, "m": {"preset": "phi-4"}},
    })  # fmt: skip
    assert parse_config(config.model_dump(by_alias=True, exclude_none=True)) == config


def test_lengths_and_number_format_of_a_preset_reach_the_grid() -> None:
    config = parse_config({
        "lengths": [32768, 131072], "tasks": {"ruler_niah": None}, "engine": {"dtype": "float32"},
        "models": {"qwen2.5-7b": None, "mine": {"path": "/weights"}},
    })  # fmt: skip
    grid = Grid(config)
    assert [(key.model, key.length) for key in grid.cells] == [
        ("qwen2.5-7b", 32768), ("mine", 32768), ("mine", 131072),
    ]  # fmt: skip
    assert [grid.cell(key).dtype for key in grid.cells] == ["bfloat16", "float32", "float32"]
    assert [(d.key.length, "131072" in d.reason) for d in grid.dropped] == [(131072, True)]


def test_a_config_that_lies_elsewhere_finds_them(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump({"lengths": [512], "tasks": {"ruler_niah": None}, "models": {"gemma-3-4b": None}}))
    command = [sys.executable, "-m", "sparsebench", "grid", "--config", str(file)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1].startswith("gemma-3-4b ")


def test_the_readme_shows_them() -> None:
    assert "\n".join(preset_table()) in README.read_text()
