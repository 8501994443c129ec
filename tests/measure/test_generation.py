"""Whole models: every row there is, figures that follow from the model's shape, and a cache that is really freed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from sparsebench.engine.attention import INTERFACE
from sparsebench.engine.ops import load_ops
from sparsebench.engine.random_weights import load_random
from sparsebench.errors import UserError
from sparsebench.measure.bench import Labelled
from sparsebench.measure.device import Ceilings
from sparsebench.measure.fanout import measure_fanout
from sparsebench.measure.generation import measure_generation
from sparsebench.measure.show import lines
from sparsebench.measure.subject import Subject
from sparsebench.methods.block_sparse import BlockSparse
from sparsebench.methods.quest import Quest
from sparsebench.methods.snapkv import SnapKV
from sparsebench.tables import MEASUREMENTS

CPU = torch.device("cpu")
LENGTH, NEW = 256, 6
SHAPE = {
    "model_type": "llama",
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 1024,
    "tie_word_embeddings": False,
}
KV_PER_TOK = 2 * 2 * 2 * 16 * 4  # keys and values, layers, KV heads, channels, bytes
LAYER_WEIGHTS = 2 * (64 * 64 + 2 * 64 * 32 + 64 * 64 + 3 * 64 * 96)


def _subject(folder: Path, config: dict[str, Any]) -> Subject:
    path = folder / "small.json"
    path.write_text(json.dumps(config))
    model = load_random(path, "auto", CPU)
    return Subject("small", model, load_ops("auto", CPU), Ceilings(0.01, 0.05))


@pytest.fixture(scope="module")
def subject(tmp_path_factory) -> Subject:
    return _subject(tmp_path_factory.mktemp("config"), SHAPE)


@pytest.fixture(scope="module")
def tables(subject):
    methods = [
        (Labelled("bs", BlockSparse(block=32)), (0.5,)),
        (Labelled("quest", Quest()), (0.5,)),
        (Labelled("snapkv", SnapKV()), (0.5, 0.9)),
    ]
    return measure_generation(subject, methods, [LENGTH]), measure_fanout(subject, methods, [LENGTH], NEW)


@pytest.fixture(scope="module")
def table(tables):
    return pa.concat_tables(tables)


@pytest.fixture(scope="module")
def rows(table):
    return {(r["kind"], r["phase"], r["method"], r["sparsity"], r["cache"]): r for r in table.to_pylist()}


def test_weights_that_a_step_reads_leave_the_input_embedding_out(subject):
    assert subject.step_weight_bytes() == 4 * (LAYER_WEIGHTS + 97 * 64)


def test_dense_methods_both_caches_and_the_loop_of_today_are_there(table, rows):
    assert table.schema.equals(MEASUREMENTS)
    shared = {key[1:4] for key in rows if key[0] == "generation" and key[4] == "shared"}
    assert shared == {
        ("prefill", "transformers", 0.0), ("prefill", "dense", 0.0), ("prefill", "bs", 0.5),
        ("decode", "transformers", 0.0), ("decode", "dense", 0.0), ("decode", "quest", 0.5), ("decode", "snapkv", 0.5),
        ("decode", "snapkv", 0.9),
    }  # fmt: skip
    # only a method that evicts can free anything
    assert {key[2:4] for key in rows if key[4] == "compacted"} == {("snapkv", 0.5), ("snapkv", 0.9)}


def test_dense_is_measured_in_its_full_cache_where_only_compacted_ones_are_asked_for(subject):
    methods = [(Labelled("quest", Quest()), (0.5,)), (Labelled("snapkv", SnapKV()), (0.5,))]
    table = measure_generation(subject, methods, [LENGTH], ["compacted"])
    found = {(r["method"], r["cache"]) for r in table.to_pylist() if r["phase"] == "decode"}
    assert found == {("transformers", "shared"), ("dense", "shared"), ("snapkv", "compacted")}


def test_the_baseline_is_the_faster_of_both_dense_ways(rows):
    for phase in ("prefill", "decode"):
        dense = [rows["generation", phase, name, 0.0, "shared"]["time_ms"] for name in ("dense", "transformers")]
        for key, row in rows.items():
            if key[:2] == ("generation", phase):
                assert row["baseline_ms"] == min(dense)
                assert row["speedup"] == pytest.approx(min(dense) / row["time_ms"])


def test_floors_follow_from_the_shape(rows):
    row = rows["generation", "decode", "quest", 0.5, "shared"]
    read = 4 * (LAYER_WEIGHTS + 97 * 64) + LENGTH * row["density"] * KV_PER_TOK
    assert row["floor_ms"] == pytest.approx(read / 0.01e12 * 1e3)
    row = rows["generation", "prefill", "bs", 0.5, "shared"]
    pairs = LENGTH * (LENGTH + 1) / 2 * row["density"]
    assert row["floor_ms"] == pytest.approx(
        (2 * LAYER_WEIGHTS * LENGTH + 2 * 97 * 64 + 4 * 16 * 4 * 2 * pairs) / 0.05e12 * 1e3
    )


def test_a_sliding_layer_reads_its_window_alone(tmp_path):
    window = 32
    kinds = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": window}
    sliding = _subject(tmp_path, SHAPE | kinds | {"model_type": "gemma3_text"})
    table = measure_generation(sliding, [(Labelled("quest", Quest()), (0.5,))], [LENGTH], ["shared"])
    rows = {r["method"]: r for r in table.to_pylist() if r["phase"] == "decode"}
    for name in ("transformers", "dense", "quest"):
        row = rows[name]
        read = sliding.step_weight_bytes() + (LENGTH * row["density"] + window) * KV_PER_TOK / 2
        assert row["floor_ms"] == pytest.approx(read / 0.01e12 * 1e3)
        assert row["tb_s"] * row["time_ms"] * 1e9 == pytest.approx(read)
    assert rows["quest"]["density"] < 0.6
    # transformers keeps the window, the engine the whole prompt in every layer
    assert rows["transformers"]["kv_mib"] * 2**20 == pytest.approx((LENGTH + window) * KV_PER_TOK / 2)
    assert rows["dense"]["kv_mib"] * 2**20 >= (LENGTH - 1) * KV_PER_TOK


def test_a_compacted_cache_holds_what_is_kept(rows):
    mib = (LENGTH - 1) * KV_PER_TOK / 2**20
    assert rows["generation", "decode", "snapkv", 0.9, "shared"]["kv_mib"] > mib
    for sparsity in (0.5, 0.9):
        held = rows["generation", "decode", "snapkv", sparsity, "compacted"]["kv_mib"] * 2**20
        suffix = 34 * KV_PER_TOK
        kept = (1 - sparsity) * (LENGTH - 1) * KV_PER_TOK
        assert kept + suffix <= held <= 1.1 * kept + suffix + 2 * 2 * 4 * LENGTH


def test_a_fan_out_is_one_prefill_and_alone_is_one_for_each_row(rows):
    batch, alone = (rows["fanout", "both", way, 0.0, "shared"] for way in ("one_batch", "alone"))
    today = rows["fanout", "both", "transformers", 0.0, "shared"]
    assert batch["rows"] == alone["rows"] == today["rows"] == 4  # dense, quest, snapkv twice
    facts = [json.loads(row["params"]) for row in (batch, alone, today)]
    assert (facts[0]["prefills"], facts[0]["steps"]) == (1, NEW)
    assert (facts[1]["prefills"], facts[1]["steps"]) == (4, 4 * NEW)
    assert facts[2]["estimated"]
    assert today["time_ms"] == pytest.approx(4 * (facts[2]["prefill_ms"] + (NEW - 1) * facts[2]["step_ms"]))
    assert batch["speedup"] == pytest.approx(today["time_ms"] / batch["time_ms"])
    assert batch["density"] == pytest.approx(alone["density"])


def test_the_model_is_left_patched_and_with_its_end_token(subject, table):
    assert subject.model.config._attn_implementation == INTERFACE
    assert subject.model.config.eos_token_id == 2


def test_tables_are_shown_as_markdown(table):
    text = "\n".join(lines(table))
    assert "### generation, decode: small, 256 tokens, float32" in text
    body = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in body if "snapkv" in line}) == 1
    assert sum(line.startswith("| snapkv | 0.5 |") for line in body) == 2


def test_a_config_that_is_no_language_model_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "vit"}')
    with pytest.raises(UserError, match=r"config.json: transformers cannot build"):
        load_random(path, "auto", CPU)
