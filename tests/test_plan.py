"""A plan's sums, against hand-worked figures and published sizes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sparsebench.config import parse_config
from sparsebench.cost.shape import ModelShape
from sparsebench.errors import UserError
from sparsebench.grid import Grid
from sparsebench.models.presets import presets
from sparsebench.plan import ANSWER_TOK, MEMORY_SHARE, SHAPES, Planner, peak_gb

# Billions of parameters, as the model cards state them (embeddings included).
PUBLISHED = {
    "qwen2.5-7b": 7.61, "qwen2.5-14b": 14.7, "qwen2.5-32b": 32.5, "qwen2.5-72b": 72.7, "llama-3.1-8b": 8.03,
    "llama-3.1-70b": 70.6, "gemma-3-4b": 3.88, "gemma-3-12b": 11.8, "gemma-3-27b": 27.0, "qwen3-4b": 4.02,
    "qwen3-8b": 8.19, "qwen3-32b": 32.8, "llama-2-7b": 6.74, "mistral-7b": 7.25, "phi-3.5-mini": 3.82, "phi-4": 14.7,
}  # fmt: skip


def _planner(results: Path, gpu: str = "h100", **changes: object) -> Planner:
    config = {
        "samples": 10,
        "lengths": [16384],
        "models": {"llama-3.1-8b": None},
        "tasks": {"ruler_niah": None},
        "decode": {"quest": {"sparsity": [0.5, 0.9]}},
    }
    return Planner(Grid(parse_config(config | changes)), gpu, results)


def test_every_preset_has_its_published_size() -> None:
    shapes = yaml.safe_load(SHAPES.read_text())
    assert list(shapes) == list(presets()) == list(PUBLISHED)
    for name, config in shapes.items():
        billions = ModelShape.from_config(config, name).parameters / 1e9
        assert billions == pytest.approx(PUBLISHED[name], rel=0.01), name


def test_presets_fit_the_gpus_that_they_ask_for(tmp_path: Path) -> None:
    planner = _planner(tmp_path, models=dict.fromkeys(presets()))
    peaks = {}
    for name, entry in planner.grid.config.models.items():
        longest = entry.max_length_tok or entry.rope.length_tok
        peaks[name] = peak_gb(planner.shape(name), longest, entry.gpus)
    assert {name for name, peak in peaks.items() if peak > MEMORY_SHARE * 80} == {"phi-3.5-mini"}  # as the README says


def test_rows_tokens_and_hours_of_one_cell(tmp_path: Path) -> None:
    [plan] = _planner(tmp_path).models()
    assert (plan.cells, plan.rows) == (1, 10 * 3)
    assert plan.prefill_tok == 10 * 16384
    assert plan.decode_tok == 30 * ANSWER_TOK
    # 2 x 7.0 G weights outside embedding and output, and 4 D H T^2 / 2 over 32 layers; at 40 % of 989 T
    prefill_s = 10 * (2 * 6.98e9 * 16384 + 4 * 128 * 32 * 32 * 16384**2 / 2) / (0.4 * 989e12)
    # 100 steps read 15 GB of weights each; a dense row 2 GB of KV cache, the others 1 and 0.2, and page bounds
    decode_s = (100 * 15.0e9 + 10 * 100 * (2.15 + 1.07 + 0.21 + 2 * 0.134) * 1e9) / (0.5 * 3.35e12)
    assert plan.seconds == pytest.approx(prefill_s + decode_s, rel=0.05)
    assert not plan.measured and not plan.too_big


def test_a_cell_that_does_not_fit_is_named(tmp_path: Path) -> None:
    said = "\n".join(_planner(tmp_path, gpu="l40s", lengths=[16384, 125000]).lines())
    assert "does not fit: 1 cells of llama-3.1-8b, from 125000 tokens on: raise models.llama-3.1-8b.gpus" in said
    assert "does not fit" not in "\n".join(_planner(tmp_path, models={"llama-3.1-70b": None}).lines())


def test_memory_is_split_weights_and_cache(tmp_path: Path) -> None:
    shape = ModelShape.from_config(yaml.safe_load(SHAPES.read_text())["llama-3.1-8b"])
    # 16 GB of weights, 128 KiB a token of KV cache and a quarter for methods, 8 hidden states a token
    expected = (16.06e9 + 1.25 * 131072 * 100_000) / 2 + 2 * 4096 * (8 * 100_000 + 16 * 4096)
    assert peak_gb(shape, 100_000, 2) == pytest.approx(expected / 1e9, rel=0.01)


def test_speed_of_earlier_cells_counts(tmp_path: Path) -> None:
    log = tmp_path / "logs/infer/llama-3.1-8b/dense/ruler_niah/16384.log"
    log.parent.mkdir(parents=True)
    log.write_text("12:00:00 10 prefills in 100.0 s, 200 decode steps in 10.0 s\n")
    [plan] = _planner(tmp_path).models()
    assert plan.measured
    assert plan.seconds == pytest.approx(100 + ANSWER_TOK * 0.05)


def test_a_model_of_unknown_size_is_left_out_and_said(tmp_path: Path) -> None:
    said = "\n".join(_planner(tmp_path, models={"other": {"hub": "some/model"}}).lines())
    assert "left out: other" in said and "results/models/other/model.json" in said


def test_a_size_goes_with_the_weights_and_not_with_the_label(tmp_path: Path) -> None:
    models = {"mine": {"preset": "qwen2.5-14b"}, "qwen2.5-32b": {"hub": "me/other"}}
    planner = _planner(tmp_path, models=models)
    assert [plan.model for plan in planner.models()] == ["mine"]
    assert planner.shape("mine").parameters / 1e9 == pytest.approx(PUBLISHED["qwen2.5-14b"], rel=0.01)
    assert "left out: qwen2.5-32b" in "\n".join(planner.lines())


def test_an_unknown_gpu_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown GPU 'h10'; did you mean 'h100'"):
        _planner(tmp_path, gpu="h10")
