"""Scaled positions: as transformers has them, told apart in journals, independent of what runs together."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoModelForCausalLM

from sparsebench.engine.infer import infer_cell
from sparsebench.engine.load import Loaded, load
from sparsebench.engine.rows import DecodeSetting, Job, Question
from sparsebench.errors import UserError
from sparsebench.models.info import describe_folder, read_info, write_info
from sparsebench.models.rope import Rope

from .families import NATIVE, make_model
from .test_families import transformers_tokens
from .test_generate import CPU, DENSE, _generator, _method, _prompt
from .test_infer import _cell, _samples, _sweep

NEW_TOK = 12
YARN = Rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=NATIVE)
DECODE = (DecodeSetting(_method("dense", "decode"), 1.0),)


@pytest.fixture
def saved(tmp_path: Path, tokenizer_dir: Path):
    """Save a family's tiny model as a folder that loads."""

    def save(family: str) -> Path:
        folder = tmp_path / family
        shutil.copytree(tokenizer_dir, folder)
        make_model(family).save_pretrained(folder)
        return folder

    return save


def answers(loaded: Loaded, *prompts: tuple[int, ...]) -> list[list[int]]:
    jobs = [Job(Question(ids, NEW_TOK), DENSE, DECODE) for ids in prompts]
    loaded.model.generation_config.eos_token_id = loaded.model.config.eos_token_id = None
    loaded.tokenizer.eos_token_id = None
    return [list(answer.ids) for [answer] in _generator(loaded.model).answer(jobs)]


def with_transformers(folder: Path, ids: tuple[int, ...], **changes: Any) -> list[int]:
    config = AutoConfig.from_pretrained(folder)
    for key, value in changes.items():
        setattr(config, key, value)
    model = AutoModelForCausalLM.from_pretrained(folder, config=config, attn_implementation="eager")
    model.generation_config.eos_token_id = model.config.eos_token_id = None
    return transformers_tokens(model, ids)


def test_yarn_turns_slow_channels_slower_and_leaves_fast_ones(saved) -> None:
    folder = saved("qwen2")
    plain, scaled = load(folder, "float32", CPU), load(folder, "float32", CPU, YARN)
    before, after = (m.model.get_decoder().rotary_emb for m in (plain, scaled))
    # arXiv:2309.00071: wavelengths beyond the native length are interpolated, short ones kept; logits sharpened
    ratio = before.inv_freq / after.inv_freq
    assert ratio[0] == pytest.approx(1) and ratio[-1] == pytest.approx(4)
    assert after.attention_scaling == pytest.approx(0.1 * math.log(4) + 1)
    limits = [m.model.config.max_position_embeddings for m in (plain, scaled)]
    assert limits == [1024, 4 * NATIVE]


def test_yarn_beyond_the_native_length_gives_transformers_tokens_and_not_the_unscaled_ones(saved) -> None:
    folder, ids = saved("qwen2"), _prompt(5, 3 * NATIVE)
    parameters = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": NATIVE}
    expected = with_transformers(folder, ids, rope_parameters=parameters, max_position_embeddings=4 * NATIVE)
    [scaled] = answers(load(folder, "float32", CPU, YARN), ids)
    [plain] = answers(load(folder, "float32", CPU), ids)
    assert scaled == expected
    assert plain == with_transformers(folder, ids)
    assert scaled != plain


def test_scaling_of_a_model_with_windows_is_that_of_its_global_layers(saved) -> None:
    folder = saved("gemma-3")
    plain, scaled = load(folder, "float32", CPU).model.config, load(folder, "float32", CPU, YARN).model.config
    assert scaled.rope_parameters["full_attention"]["rope_type"] == "yarn"
    assert scaled.rope_parameters["sliding_attention"] == plain.rope_parameters["sliding_attention"]
    theta = [c.rope_parameters["full_attention"]["rope_theta"] for c in (plain, scaled)]
    assert theta[0] == theta[1]


def test_longrope_takes_the_factors_of_the_cells_longest_sequence(saved) -> None:
    folder = saved("phi-3.5-longrope")
    long, short = _prompt(6, 2 * NATIVE), _prompt(7, NATIVE // 2)
    beyond, within = (load(folder, "float32", CPU, longest_tok=n) for n in (3 * NATIVE, NATIVE))
    assert answers(beyond, long) == [with_transformers(folder, long)]
    assert answers(within, short) == [with_transformers(folder, short)]
    # one forward pass over both would make transformers change the short one's positions with the long one's
    alone = [*answers(beyond, long), *answers(beyond, short)]
    assert answers(beyond, long, short) == alone
    assert alone[1] != with_transformers(folder, short)


def test_scaling_by_the_length_seen_so_far_is_refused(saved) -> None:
    folder = saved("qwen2")
    config = json.loads((folder / "config.json").read_text())
    config["rope_parameters"] = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"qwen2: .*'dynamic'.*state `rope`"):
        load(folder, "float32", CPU)
    assert load(folder, "float32", CPU, YARN).model.config.max_position_embeddings == 4 * NATIVE


def test_model_json_says_it_and_journals_notice(tiny_llama_dir: Path, tmp_path: Path, caplog) -> None:
    samples, cell = _samples(2), _cell(2, _sweep("quest", 0.5))

    def run(rope: Rope | None) -> tuple[str, list[str]]:
        write_info(describe_folder("tiny", "path", tiny_llama_dir, None, rope), tmp_path)
        assert read_info(tmp_path).rope == rope
        caplog.clear()
        with caplog.at_level("INFO", logger="sparsebench"):
            table = infer_cell(cell, tmp_path, samples, tmp_path / "journal.jsonl")
        return caplog.messages[-1], table["row_digest"].to_pylist()

    said, plain = run(None)
    assert said == "computed 4 rows, reused 0"
    said, scaled = run(YARN)
    assert said == "computed 4 rows, reused 0" and not set(plain) & set(scaled)
    assert run(None) == ("computed 0 rows, reused 4", plain)
    assert run(YARN) == ("computed 0 rows, reused 4", scaled)
    other = YARN.model_copy(update={"factor": 8.0})
    assert run(other)[0] == "computed 4 rows, reused 0"


def test_the_length_limit_follows_the_scaling(tiny_llama_dir: Path, tmp_path: Path) -> None:
    write_info(describe_folder("tiny", "path", tiny_llama_dir, None, YARN), tmp_path)
    with pytest.raises(UserError, match=rf"tiny takes {4 * NATIVE};"):
        infer_cell(_cell(1), tmp_path, _samples(1, max_new_tok=4 * NATIVE), tmp_path / "journal.jsonl")
    assert describe_folder("tiny", "path", tiny_llama_dir).max_length_tok == 1024
    assert describe_folder("tiny", "path", tiny_llama_dir, 100, YARN).max_length_tok == 100


def test_a_cell_beyond_the_native_length_of_longrope_has_rows_of_its_own(saved, tmp_path: Path) -> None:
    info = describe_folder("phi", "path", saved("phi-3.5-longrope"))
    assert info.long_above_tok == NATIVE
    assert info.model_digest(NATIVE) != info.model_digest(NATIVE + 1) == info.model_digest(8 * NATIVE)
    assert describe_folder("phi", "path", saved("phi-3")).long_above_tok is None
