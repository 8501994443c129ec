"""model.json: facts read from a transformers folder, and its damage noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sparsebench.errors import UserError
from sparsebench.models.info import describe_folder, read_info, write_info


def folder_with(tmp_path: Path, **config: object) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "max_position_embeddings": 131072,
}


def test_facts_of_llama_3_1_8b(tmp_path: Path) -> None:
    info = describe_folder("llama", "hub:x@main", folder_with(tmp_path, **LLAMA))
    assert (info.layers, info.heads, info.kv_heads, info.head_dim) == (32, 32, 8, 128)
    assert info.max_length_tok == 131072
    # 128 KiB a token in 16 bits, as published for this model
    assert info.kv_bytes_per_tok(2) == 128 * 1024


def test_facts_of_a_nested_config_that_leaves_defaults_out(tmp_path: Path) -> None:
    # the published config of google/gemma-3-4b-it states neither heads nor length
    text = {"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024}  # fmt: skip
    given = {"model_type": "gemma3", "text_config": text, "architectures": ["Gemma3ForConditionalGeneration"]}
    info = describe_folder("gemma", "x", folder_with(tmp_path, **given))
    assert (info.layers, info.heads, info.kv_heads, info.head_dim) == (34, 8, 4, 256)
    assert (info.max_length_tok, info.architecture) == (131072, "Gemma3ForConditionalGeneration")


def test_a_model_without_kv_heads_has_one_per_query_head(tmp_path: Path) -> None:
    config = {k: v for k, v in LLAMA.items() if k != "num_key_value_heads"}
    assert describe_folder("m", "x", folder_with(tmp_path, **config)).kv_heads == 32


def test_the_stated_limit_can_be_overridden(tmp_path: Path) -> None:
    assert describe_folder("m", "x", folder_with(tmp_path, **LLAMA), 4096).max_length_tok == 4096


def test_what_is_no_decoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="t5 has an encoder; allowed: decoder-only"):
        describe_folder("m", "x", folder_with(tmp_path, model_type="t5"))
    with pytest.raises(UserError, match="knows no such model"):
        describe_folder("m", "x", folder_with(tmp_path, model_type="no-such-type"))
    with pytest.raises(UserError, match="states no num_attention_heads"):
        describe_folder("m", "x", folder_with(tmp_path, model_type="mamba"))
    with pytest.raises(UserError, match=r"no config\.json"):
        describe_folder("m", "x", tmp_path / "elsewhere")


def test_weights_and_tokenizer_have_digests_of_their_own(tiny_llama_dir: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(tiny_llama_dir, copy)
    one, two = describe_folder("m", "x", tiny_llama_dir), describe_folder("m", "x", copy)
    assert (one.weights_digest, one.tokenizer_digest) == (two.weights_digest, two.tokenizer_digest)
    (copy / "tokenizer_config.json").write_text("{}")
    three = describe_folder("m", "x", copy)
    assert three.weights_digest == one.weights_digest and three.tokenizer_digest != one.tokenizer_digest
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert describe_folder("m", "x", copy).weights_digest != one.weights_digest


def test_round_trip(tiny_llama_dir: Path, tmp_path: Path) -> None:
    info = describe_folder("m", "x", tiny_llama_dir)
    write_info(info, tmp_path)
    assert read_info(tmp_path) == info
    assert [p.name for p in tmp_path.iterdir()] == ["model.json"]


@pytest.mark.parametrize("content", [None, "", "{}", '{"name": 1}'], ids=["missing", "empty", "no facts", "wrong"])
def test_damage_is_told_with_the_remedy(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "model.json").write_text(content)
    remedy = "no such file; fetching a model makes" if content is None else "delete the folder and run again"
    with pytest.raises(UserError, match=remedy):
        read_info(tmp_path)


def test_weights_that_are_gone_are_missed(tiny_llama_dir: Path, tmp_path: Path) -> None:
    write_info(describe_folder("m", "x", tiny_llama_dir).model_copy(update={"folder": "weights"}), tmp_path)
    with pytest.raises(UserError, match="weights it names are gone"):
        read_info(tmp_path)
