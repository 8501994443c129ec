"""Every family: dense is transformers' own generation token by token, and every method runs beside it."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GptOssConfig, GptOssForCausalLM, StableLmConfig, StableLmForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from sparsebench.engine.load import check_interface, load
from sparsebench.engine.rows import Answer, DecodeSetting, Job, PrefillSetting, Question
from sparsebench.errors import UserError

from .families import COMMON, FAMILIES, NATIVE, WINDOW, make_model
from .test_generate import CPU, DENSE, PREFILL, _all_decode, _generator, _method, _prompt

NEW_TOK = 12
# One crosses a window while it answers, the others lie beyond every window and every native length, and stay there.
PROMPTS = (_prompt(3, WINDOW - 5), _prompt(1, 2 * NATIVE + 5), _prompt(2, 2 * NATIVE - 31))

_JOB = Job(Question(_prompt(1, 20), 2), DENSE, (DecodeSetting(_method("dense", "decode"), 1.0),))


def transformers_tokens(model: torch.nn.Module, ids: tuple[int, ...]) -> list[int]:
    """What transformers generates from one prompt, with its own attention and its own cache."""
    tokens = copy.deepcopy(model).generate(
        torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), max_new_tokens=NEW_TOK,
        do_sample=False,
    )  # fmt: skip
    return tokens[0, len(ids) :].tolist()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("length", [2, 17, 101])
def test_dense_equals_transformers_token_by_token(family: str, length: int) -> None:
    model = make_model(family)
    ids = _prompt(length, length)
    expected = transformers_tokens(model, ids)
    job = Job(Question(ids, NEW_TOK), DENSE, (DecodeSetting(_method("dense", "decode"), 1.0),))
    [[answer]] = _generator(model).answer([job])
    assert list(answer.ids) == expected
    assert answer.stop_reason == "limit"
    assert answer.prefill_density == answer.decode_density == 1.0


def _sparse(answers: list[Answer], settings: tuple[DecodeSetting, ...]) -> list[Answer]:
    return [answer for answer, setting in zip(answers, settings, strict=True) if setting.method.name != "dense"]


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "phi-3.5-longrope"])
def test_every_method_runs_in_one_batch_with_dense_rows_that_equal_transformers(family: str) -> None:
    model = make_model(family)
    expected = [transformers_tokens(model, ids) for ids in PROMPTS]
    settings = _all_decode((0.4,))
    dense = next(i for i, setting in enumerate(settings) if setting.method.name == "dense")
    questions = [Question(ids, NEW_TOK, seed=5) for ids in PROMPTS]
    jobs = [Job(question, DENSE, settings) for question in questions]
    jobs += [
        Job(questions[1], PrefillSetting(_method(name, "prefill"), 0.4), (settings[dense],))
        for name in PREFILL
        if name != "dense"
    ]
    answers = _generator(model).answer(jobs)
    for given, tokens in zip(answers, expected, strict=False):
        assert list(given[dense].ids) == tokens
    long = [*_sparse(answers[1], settings), *_sparse(answers[2], settings)]
    if FAMILIES[family].sparse_layers:
        assert all(0.2 < answer.decode_density < 0.6 for answer in long)
        assert all(answer.prefill_density < 0.75 for [answer] in answers[len(PROMPTS) :])
        assert any(list(answer.ids) not in expected for answer in long), "no method changed anything"
    else:
        assert all(answer.decode_density == 1 for answer in long)
        assert all(list(answer.ids) in expected for answer in long)


def test_families_that_do_not_go_through_the_interface_are_refused(tmp_path, tokenizer_dir) -> None:
    small = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1,
             "num_attention_heads": 2, "num_key_value_heads": 2, "eos_token_id": 2}  # fmt: skip
    StableLmForCausalLM(StableLmConfig(**small)).save_pretrained(tmp_path)
    for file in tokenizer_dir.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(UserError, match="StableLmForCausalLM does not go through transformers' attention interface"):
        load(tmp_path, "float32", CPU)


@pytest.mark.parametrize(
    ("kind", "settings", "odd"),
    [
        ("granitemoehybrid", {"shared_intermediate_size": 16, "num_local_experts": 0}, "linear_attention"),
        ("lfm2", {"layer_types": ["conv", "full_attention", "conv"]}, "conv"),
        ("llama4_text", {"num_local_experts": 2, "intermediate_size_mlp": 96}, "chunked_attention"),
    ],
)
def test_layers_that_are_neither_full_nor_sliding_attention_are_refused_by_name(
    kind: str, settings: dict[str, object], odd: str
) -> None:
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**(COMMON | settings)))
    with pytest.raises(UserError, match=f"has layers of kind {odd}; allowed: full_attention"):
        check_interface(model, Path("folder"))


def test_latent_attention_is_refused_by_name() -> None:
    heads = {"num_key_value_heads": 4, "head_dim": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 16}
    small = COMMON | heads | {"kv_lora_rank": 16, "q_lora_rank": 16, "first_k_dense_replace": 3}
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING["deepseek_v3"](**small)).eval()
    with pytest.raises(UserError, match="24, 24 and 16 channels"):
        _generator(model).answer([_JOB])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("diffllama", "layer 0 attends more than once in a forward pass"),
        ("nemotron", "NemotronAttention got no pass to attend by: its model does not hand keyword arguments on"),
        ("doge", "DogeAttention makes a mask of its own"),
    ],
)
def test_attention_that_is_not_one_plain_call_a_layer_is_refused_by_name(kind: str, message: str) -> None:
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**COMMON)).eval()
    with pytest.raises(UserError, match=message):
        _generator(model).answer([_JOB])


def test_attention_to_later_tokens_is_refused_by_name() -> None:
    small = COMMON | {"sliding_window": WINDOW, "query_pre_attn_scalar": 20, "use_bidirectional_attention": True}
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING["gemma3_text"](**small)).eval()
    with pytest.raises(UserError, match="attends to later tokens"):
        _generator(model).answer([_JOB])


def test_learned_sinks_are_refused_rather_than_ignored() -> None:
    config = GptOssConfig(
        vocab_size=97, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, head_dim=16, num_local_experts=2, num_experts_per_tok=1,
    )  # fmt: skip
    with pytest.raises(UserError, match="gives its attention s_aux"):
        _generator(GptOssForCausalLM(config).eval()).answer([_JOB])


def test_weights_that_do_not_fit_are_told(tiny_llama_dir, monkeypatch):
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(UserError, match="weights do not fit the memory that is free on cpu"):
        load(tiny_llama_dir, "float32", torch.device("cpu"))
