"""Config to cells and rows, counted by hand."""

from __future__ import annotations

import cProfile
import json
import pstats
from pathlib import Path
from typing import Any

import pytest

from sparsebench.config import parse_config
from sparsebench.errors import UserError
from sparsebench.grid import Grid, Key


def grid(**changes: Any) -> Grid:
    config: dict[str, Any] = {
        "samples": 3,
        "lengths": [256, 512],
        "sparsity": [0.5, 0.9],
        "models": {"m": {"path": "/nowhere"}},
        "tasks": {"niah": {"task": "ruler_niah"}, "vt": {"task": "ruler_vt", "samples": 2, "lengths": [256]}},
        "prefill": {"block_sparse": {"sparsity": [0.5, 0.8, 0.9]}, "dense": None},
        "decode": {"quest": None, "snapkv": {"sparsity": [0.8]}},
    }
    return Grid(parse_config(config | changes))


def test_cells_are_the_product_of_what_is_asked() -> None:
    assert set(grid().cells) == {
        Key("m", prefill, task, length)
        for prefill in ("dense", "block_sparse")
        for task, length in (("niah", 256), ("niah", 512), ("vt", 256))
    }


def test_phases_sweeps_one_phase_at_a_time() -> None:
    g = grid()
    # dense prefill: 3 samples x (dense + quest at 2 + snapkv at 1); sparse prefill: 3 samples x 3 sparsities x dense
    assert g.rows(Key("m", "dense", "niah", 256)) == 3 * (1 + 2 + 1)
    assert g.rows(Key("m", "block_sparse", "niah", 256)) == 3 * 3 * 1
    assert g.rows(Key("m", "dense", "vt", 256)) == 2 * 4
    assert list(g.lines())[-1].startswith("6 cells, ")


def test_a_task_may_name_its_models_and_a_method_its_lengths() -> None:
    g = grid(
        models={"m": {"path": "/nowhere"}, "n": {"path": "/nowhere"}},
        tasks={"niah": {"task": "ruler_niah"}, "vt": {"task": "ruler_vt", "models": ["n"]}},
        prefill={"block_sparse": {"lengths": [512]}},
        decode={"quest": {"lengths": [256]}, "snapkv": None},
    )
    assert {key.task for key in g.cells if key.model == "m"} == {"niah"}
    assert {key.task for key in g.cells if key.model == "n"} == {"niah", "vt"}
    assert {key.length for key in g.cells if key.prefill == "block_sparse"} == {512}
    assert ("m", "vt", 256) not in g.samples()
    asked = {n: [s.spec.label for s in g.cell(Key("n", "dense", "vt", n)).decode] for n in (256, 512)}
    assert asked == {256: ["dense", "quest", "snapkv"], 512: ["dense", "snapkv"]}


def test_a_method_may_name_its_models() -> None:
    g = grid(
        models={"m": {"path": "/nowhere"}, "n": {"path": "/nowhere"}},
        prefill={"block_sparse": {"models": ["n"]}},
        decode={"quest": {"models": ["m"]}, "snapkv": None},
    )
    assert {key.model for key in g.cells if key.prefill == "block_sparse"} == {"n"}
    assert {key.model for key in g.cells if key.prefill == "dense"} == {"m", "n"}
    asked = {m: [s.spec.label for s in g.cell(Key(m, "dense", "vt", 256)).decode] for m in "mn"}
    assert asked == {"m": ["dense", "quest", "snapkv"], "n": ["dense", "snapkv"]}


def test_product_pairs_every_setting() -> None:
    assert grid(combine="product").rows(Key("m", "block_sparse", "niah", 256)) == 3 * 3 * 4


def test_dense_is_always_there_and_never_swept() -> None:
    cell = grid(decode={}).cell(Key("m", "dense", "niah", 256))
    assert [sweep.spec.label for sweep in cell.decode] == ["dense"]
    assert cell.prefill.sparsities == cell.decode[0].sparsities == (0.0,)


def test_what_a_model_cannot_take_is_dropped_and_said(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 512}))
    g = grid(models={"m": {"path": str(tmp_path)}, "n": {"path": "/nowhere", "max_length_tok": 300}})
    lost = {(d.key.model, d.key.length) for d in g.dropped}
    assert lost == {("m", 512), ("n", 512)}  # a prompt as long as the limit leaves no room for an answer
    lines = [line for line in g.lines() if line.startswith("dropped")]
    assert len(lines) == len(g.dropped) == 4
    assert any("m takes 512 tokens" in line for line in lines)
    assert not {d.key for d in g.dropped} & set(g.cells)


def test_models_with_one_tokenizer_share_samples() -> None:
    g = grid(models={"a": {"path": "/x"}, "b": {"path": "/y", "tokenizer": "a"}})
    assert g.samples() == [("a", "niah", 256), ("a", "niah", 512), ("a", "vt", 256)]


def test_a_label_names_and_the_method_computes() -> None:
    g = grid(decode={"coarse": {"method": "quest", "params": {"page": 32}}, "quest": None})
    specs = {s.spec.label: s.spec for s in g.cell(Key("m", "dense", "niah", 256)).decode}
    assert specs["coarse"].method == specs["quest"].method == "quest"
    assert specs["coarse"].params == {"page": 32}
    assert specs["coarse"].digest == specs["quest"].digest != specs["dense"].digest


OUTSIDE = """
from dataclasses import dataclass
from sparsebench.methods.quest import Quest

@dataclass(frozen=True)
class Mine(Quest):
    name = "mine"
"""


def test_editing_an_outside_method_changes_its_digest_alone(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(OUTSIDE)
    key = Key("m", "dense", "niah", 256)

    def digests() -> dict[str, str]:
        g = grid(decode={"mine": {"class": f"{file}:Mine"}, "quest": None})
        return {s.spec.label: s.spec.digest for s in g.cell(key).decode}

    before = digests()
    file.touch()
    assert digests() == before
    file.write_text(OUTSIDE + "# edited\n")
    after = digests()
    assert {label for label in after if after[label] != before[label]} == {"mine"}


def test_a_large_grid_is_little_work() -> None:
    def calls(lengths: int) -> int:
        with cProfile.Profile() as profile:
            g = grid(lengths=list(range(64, 64 + lengths)), tasks={"a": {"task": "ruler_niah"}})
            for key in g.cells:
                g.cell(key).model_dump_json()
        assert len(g.cells) == 2 * lengths
        total: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]
        return total

    calls(1)  # what is made once
    few, many = calls(100), calls(1000)
    assert many < 10.5 * few  # the work of a cell does not grow with the grid
    assert many < 100 * 2000


def test_a_timing_asks_for_one_gpu_where_the_models_use_any() -> None:
    models = {"small": {"path": "/nowhere", "gpus": 0}, "large": {"path": "/nowhere", "gpus": 4}}
    g = grid(models=models)
    assert (g.measuring_gpu("small"), g.measuring_gpu("large"), g.measuring_gpu()) == ((0, None), (1, None), (1, None))
    assert grid(models={"small": models["small"]}).measuring_gpu() == (0, None)
    assert grid(models=models, engine={"gpu_request": "gres:a100"}).measuring_gpu() == (0, "gpu:a100:1")


def test_each_method_is_timed_at_its_own_sparsities() -> None:
    g = grid(decode={"quest": None, "snapkv": {"sparsity": [0.8]}, "oracle": None})
    assert g.measured() == ["block_sparse", "quest", "snapkv"]
    assert g.measured(controls=True) == ["block_sparse", "oracle", "quest", "snapkv"]
    found = {(s.phase, s.spec.label, s.sparsities) for s in g.measured_sweeps(["block_sparse", "snapkv"])}
    assert found == {("prefill", "block_sparse", (0.5, 0.8, 0.9)), ("decode", "snapkv", (0.8,))}


def test_a_model_of_its_own_dtype_is_run_and_timed_in_it() -> None:
    g = grid(
        models={"m": {"path": "/nowhere", "dtype": "float16"}, "n": {"path": "/nowhere"}}, engine={"dtype": "bfloat16"}
    )
    assert (g.dtype("m"), g.dtype("n"), g.dtype("random-weights")) == ("float16", "bfloat16", "bfloat16")
    assert g.cell(Key("m", "dense", "niah", 256)).dtype == "float16"


def test_a_local_config_that_is_none_is_named(tmp_path: Path) -> None:
    for text in ("{", "[]"):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(UserError, match=r"models\.m\.path: .*config.json is no JSON object"):
            grid(models={"m": {"path": str(tmp_path)}}).cells  # noqa: B018
