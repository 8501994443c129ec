"""The cost model against hand-worked figures, published sizes, transformers' own modules and torch's FLOP counter."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM

from sparsebench.cost.model import decode_cost, prefill_cost
from sparsebench.cost.shape import ModelShape
from sparsebench.errors import UserError
from sparsebench.methods.block_sparse import BlockSparse
from sparsebench.methods.dense import DenseDecode, DensePrefill
from sparsebench.methods.quest import Quest
from sparsebench.methods.snapkv import SnapKV
from sparsebench.methods.vertical_slash import VerticalSlash
from sparsebench.models.rope import Rope

from ..engine.families import FAMILIES, make_config

# As published with the models: meta-llama/Llama-3.1-8B-Instruct, google/gemma-3-12b-it.
LLAMA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}
GEMMA = {
    "model_type": "gemma3",
    "text_config": {
        "hidden_size": 3840,
        "intermediate_size": 15360,
        "num_hidden_layers": 48,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 256,
        "sliding_window": 1024,
        "vocab_size": 262208,
    },
}
dense = (DensePrefill(), DenseDecode())


@pytest.fixture(scope="module")
def llama() -> ModelShape:
    return ModelShape.from_config(LLAMA)


@pytest.fixture(scope="module")
def gemma() -> ModelShape:
    return ModelShape.from_config(GEMMA)


def test_size_of_llama_3_1_8b(llama: ModelShape) -> None:
    # Per layer: q and o 4096 x 4096, k and v 4096 x 1024, three MLP matrices 4096 x 14336. Embedding and output apart.
    layer = 2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336
    assert layer == 218_103_808
    assert llama.active_parameters == 32 * layer + 128_256 * 4096
    # Published: 8,030,261,248 weights, of which norms have 65 times 4096.
    assert llama.parameters == 8_030_261_248 - 65 * 4096


def test_size_of_gemma_3_12b(gemma: ModelShape) -> None:
    # q and o 3840 x 4096, k and v 3840 x 2048, three MLP matrices 3840 x 15360; one embedding for both ends.
    layer = 2 * 3840 * 4096 + 2 * 3840 * 2048 + 3 * 3840 * 15360
    assert gemma.parameters == gemma.active_parameters == 48 * layer + 262_208 * 3840
    # Five sliding layers to each global one.
    assert (gemma.global_layers, gemma.layers, gemma.window_tok) == (8, 48, 1024)


def test_prompt_of_llama_3_1_8b_by_hand(llama: ModelShape) -> None:
    T = 32_768
    cost = prefill_cost(llama, T, 1.0, *dense)
    assert cost.linear == 2 * 32 * 218_103_808 * T + 2 * 4096 * 128_256
    # 32 layers, 32 heads of 128 channels, 536,887,296 causal pairs: 0.28 PFLOP beside 0.46 of linear layers.
    assert cost.attended == 4 * 128 * 32 * 32 * 536_887_296
    assert cost.attended == pytest.approx(0.2815e15, rel=1e-3)
    assert cost.total == pytest.approx(0.7389e15, rel=1e-3)
    assert cost.estimation == 0
    half = prefill_cost(llama, T, 0.5, *dense)
    assert half.attended == cost.attended / 2
    assert half.linear == cost.linear


def test_token_of_llama_3_1_8b_by_hand(llama: ModelShape) -> None:
    cost = decode_cost(llama, 32_768, 1, 1.0, DenseDecode())
    assert cost.weights == 2 * llama.active_parameters
    # 128 KiB a token in 16 bits, as published; the current token is read too.
    assert cost.entries == 131_072 * 32_769
    # At a tenth of the prompt and 199 generated tokens, 100 of them are read on average.
    sparse = decode_cost(llama, 32_768, 199, 0.1, DenseDecode())
    assert sparse.entries == pytest.approx(131_072 * (3276.8 + 100))


def test_sliding_layers_of_gemma_3_12b_cost_their_window(gemma: ModelShape) -> None:
    T, W = 32_768, 1024
    pairs = W * (W + 1) // 2 + (T - W) * W
    cost = prefill_cost(gemma, T, 0.1, *dense)
    assert cost.attended == pytest.approx(4 * 256 * 16 * (8 * 0.1 * T * (T + 1) / 2 + 40 * pairs))
    token = decode_cost(gemma, T, 1, 0.1, DenseDecode())
    assert token.entries == pytest.approx(2 * 8 * 256 * 2 * (8 * (3276.8 + 1) + 40 * W))
    short = decode_cost(gemma, 100, 1, 1.0, DenseDecode())
    assert short.entries == 2 * 8 * 256 * 2 * 48 * 101


def test_estimates_by_hand(llama: ModelShape) -> None:
    T = 32_768

    def chosen(prefill, decode):  # type: ignore[no-untyped-def]
        return prefill_cost(llama, T, 0.1, prefill, decode).estimation / 32

    # 32 heads, 64 queries, all keys, 128 channels, a multiply and an add.
    assert chosen(VerticalSlash(last_q=64), DenseDecode()) == 2 * 32 * 64 * T * 128
    # 512 blocks of 64: means of 32 + 8 heads, then 512 x 512 products of means for each query head.
    assert chosen(BlockSparse(block=64), DenseDecode()) == 40 * T * 128 + 2 * 32 * 512**2 * 128
    assert chosen(DensePrefill(), SnapKV(window=32)) == 2 * 32 * 32 * T * 128
    # Quest reads two bounds for each of 2,048 pages: an eighth of the keys, a sixteenth of keys and values.
    whole = decode_cost(llama, T, 1, 1.0, DenseDecode()).entries * T / (T + 1)
    assert decode_cost(llama, T, 1, 0.1, Quest(page=16)).metadata == pytest.approx(whole / 16)
    assert decode_cost(llama, T, 1, 0.1, SnapKV()).metadata == 0


TINY = {
    "vocab_size": 1000,
    "hidden_size": 128,
    "intermediate_size": 320,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_sizes_and_global_layers_are_those_of_the_engine_s_families(family: str) -> None:
    config = make_config(family)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    text = {id(p): p for part in (model.get_decoder(), model.get_output_embeddings()) for p in weights_of(part)}
    shape = ModelShape.from_config(config.to_dict())
    assert shape.parameters == sum(p.numel() for p in text.values())
    assert shape.global_layers == FAMILIES[family].sparse_layers
    assert shape.window_tok is None or shape.global_layers < shape.layers


def weights_of(part: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Matrices that are no norms of heads."""
    return [p for name, p in part.named_parameters() if p.ndim > 1 and "norm" not in name]


def test_a_window_that_scaled_positions_outgrow_closes() -> None:
    native = {"model_type": "mistral", **TINY, "sliding_window": 256, "max_position_embeddings": 256}
    scaled = Rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=256)
    assert ModelShape.from_config(native).global_layers == 6
    shape = ModelShape.from_config(native, rope=scaled)
    assert (shape.global_layers, shape.window_tok) == (0, 256)


def test_experts_count_once_each_but_serve_few() -> None:
    given = {"model_type": "mixtral", **TINY, "num_local_experts": 4, "num_experts_per_tok": 2}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**given))
    shape = ModelShape.from_config(given)
    assert shape.parameters == sum(p.numel() for p in model.parameters() if p.ndim >= 2)
    # Two of four experts are not read, and neither is the embedding.
    assert shape.active_parameters == shape.parameters - 6 * 2 * 3 * 128 * 320 - 1000 * 128


def test_shared_experts_and_dense_layers_serve_every_token() -> None:
    experts = {"num_experts": 4, "num_experts_per_tok": 1, "moe_intermediate_size": 64}
    given = {
        "model_type": "qwen2_moe",
        **TINY,
        **experts,
        "shared_expert_intermediate_size": 80,
        "mlp_only_layers": [0],
    }
    shape = ModelShape.from_config(given)
    # Three matrices an expert, three of four of which are not read in each of five layers; nor is the embedding.
    assert shape.parameters - shape.active_parameters == 5 * 3 * 3 * 128 * 64 + 1000 * 128
    # By layer: q, o, k, v; in the first a dense MLP; in others the experts, the shared one and both gates.
    attention, dense_mlp = 128 * 32 * (2 * 4 + 2 * 2), 3 * 128 * 320
    mixed = 3 * 128 * (4 * 64 + 80) + 128 * 4 + 128
    assert shape.parameters == 6 * attention + dense_mlp + 5 * mixed + 2 * 1000 * 128


@pytest.mark.parametrize(("family", "tied"), [("llama", False), ("qwen2", True)])
def test_flops_agree_with_torch_s_counter(family: str, tied: bool) -> None:
    """torch counts what it runs: dense layers, attention over all pairs (no causality), the output for each token."""
    given = {"model_type": family, **TINY, "tie_word_embeddings": tied}
    config = AutoConfig.for_model(**given)
    config._attn_implementation = "eager"
    model = AutoModelForCausalLM.from_config(config).eval()
    T = 96
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, T, dtype=torch.long), use_cache=False)
    cost = prefill_cost(ModelShape.from_config(given), T, 1.0, *dense)
    all_pairs = cost.attended * T**2 / (T * (T + 1) / 2)
    outputs = 2 * (T - 1) * 128 * 1000
    rotary = 2 * 16 * T  # angles as a product of frequencies and positions
    assert counter.get_total_flops() == pytest.approx(cost.linear + all_pairs + outputs + rotary, rel=1e-3)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "no_such_family"}, "no family that transformers knows"),
        ({}, "no family that transformers knows"),
        ({"model_type": "deepseek_v3"}, "latent"),
        ({"model_type": "gpt2", "n_embd": 48, "n_layer": 1}, "sizes under other names than most .*intermediate_size"),
    ],
)
def test_what_the_model_does_not_know_is_named(config: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=f"models.m: .*{message}"):
        ModelShape.from_config(config, "m")
