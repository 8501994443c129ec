"""A scores table with known truth: who keeps how much, at what density, paired by sample."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pyarrow as pa

from sparsebench.cost.pricing import Pricing
from sparsebench.cost.shape import ModelShape
from sparsebench.methods import method_classes
from sparsebench.methods.base import DecodeMethod, PrefillMethod
from sparsebench.stats.accuracy import accuracy_table
from sparsebench.stats.frontier import frontier_table
from sparsebench.tables import MODELS, SCORES

TASKS = {"niah_hex": 0.95, "niah_prose": 0.9, "vt": 0.03}  # dense accuracy; vt has no signal
LENGTHS = (1024, 2048)
SPARSITIES = (0.5, 0.8, 0.9, 0.95)
# Share of dense kept at each sparsity.
KEPT = {
    "prefill": {
        "vertical_slash": (1.0, 0.98, 0.9, 0.8),
        "block_sparse": (0.95, 0.8, 0.5, 0.3),
        "flexprefill": (1.0, 0.95, 0.8, 0.6),
        "oracle": (1.0, 1.0, 0.98, 0.95),
        "random": (0.4, 0.1, 0.02, 0.0),
    },
    "decode": {
        "snapkv": (0.98, 0.85, 0.65, 0.4),
        "ada_snapkv": (0.98, 0.9, 0.7, 0.5),
        "quest": (1.0, 1.0, 0.97, 0.9),
        "oracle": (1.0, 1.0, 1.0, 0.98),
        "random": (0.3, 0.05, 0.0, 0.0),
    },
}


def scores_table(
    n: int = 40, models: tuple[str, ...] = ("tiny-135m",), combine: bool = True, seed: int = 0
) -> pa.Table:
    """``n`` samples per task and length. A sparse row is right only where dense is: losses, no gains."""
    rng = np.random.default_rng(seed)
    rows: list[dict] = []
    for model in models:
        for task, level in TASKS.items():
            for length in LENGTHS:
                dense = rng.random(n) < level
                rows += answered(model, task, length, dense, "dense", 0.0, "dense", 0.0)
                for phase, methods in KEPT.items():
                    for method, kept in methods.items():
                        for sparsity, share in zip(SPARSITIES, kept, strict=True):
                            right = dense & (rng.random(n) < share)
                            place = (
                                (method, sparsity, "dense", 0.0)
                                if phase == "prefill"
                                else ("dense", 0.0, method, sparsity)
                            )
                            rows += answered(model, task, length, right, *place)
                if combine:
                    for sparsity in (0.8, 0.95):
                        right = dense & (rng.random(n) < 0.9)
                        rows += answered(model, task, length, right, "vertical_slash", 0.8, "quest", sparsity)
    return pa.Table.from_pylist(rows, schema=SCORES)


# SmolLM2-135M and, for models named *big*, four times its layers.
_SMALL = ModelShape(134_479_872, 134_479_872, 30, 30, None, 9, 3, 64, 576, 1536, 49152)
_BIG = ModelShape(452_984_832, 452_984_832, 120, 120, None, 9, 3, 64, 576, 1536, 49152)


def shape_of(model: str) -> ModelShape:
    return _BIG if "big" in model else _SMALL


def models_table(*models: str, tokenizer: str | None = None) -> pa.Table:
    """The table of models for labels; all of one tokenizer if it is named."""
    return pa.Table.from_pylist(
        [
            {
                "model": model,
                "tokenizer": tokenizer or model,
                "source": "synthetic",
                "architecture": "LlamaForCausalLM",
                **asdict(shape_of(model)),
                "kv_bytes_per_tok": shape_of(model).kv_bytes_per_tok,
            }
            for model in models
        ],
        schema=MODELS,
    )


def pricing_of(scores: pa.Table) -> Pricing:
    """Prices for any labels: a method of the package where one has that name, dense's otherwise."""
    classes = method_classes()
    prefill = {
        m: classes.get(("prefill", m), classes["prefill", "dense"])() for m in scores["prefill"].unique().to_pylist()
    }
    decode = {
        m: classes.get(("decode", m), classes["decode", "dense"])() for m in scores["decode"].unique().to_pylist()
    }
    return Pricing(
        {m: shape_of(m) for m in scores["model"].unique().to_pylist()},
        {k: m for k, m in prefill.items() if isinstance(m, PrefillMethod)},
        {k: m for k, m in decode.items() if isinstance(m, DecodeMethod)},
    )


def accuracy_of(scores: pa.Table) -> pa.Table:
    """The accuracy table of scores, whatever their labels."""
    return accuracy_table(scores, pricing_of(scores))


def answered(
    model: str,
    task: str,
    length: int,
    right: np.ndarray,
    prefill: str,
    prefill_sparsity: float,
    decode: str,
    decode_sparsity: float,
) -> list[dict]:
    return [
        {
            "model": model,
            "prefill": prefill,
            "task": task,
            "length_tok": length,
            "sample": i,
            "prefill_sparsity": prefill_sparsity,
            "decode": decode,
            "decode_sparsity": decode_sparsity,
            "prompt_tok": length - 10,
            "prefill_density": round(1 - prefill_sparsity, 4) * (1.02 if prefill != "dense" else 1),
            "decode_density": round(1 - decode_sparsity, 4) * (0.99 if decode != "dense" else 1),
            "generated_tok": 20,
            "stop_reason": "stop",
            "score": float(ok),
            "evidence_tok": [int((i % 10 + 0.5) * (length - 10) / 10)],
            "parse_failed": not ok,
            "chance": 0.0,
            "metric": "exact values found",
        }
        for i, ok in enumerate(right)
    ]


def frontier_of(accuracy: pa.Table) -> pa.Table:
    """The frontier table, every model with samples of its own."""
    return frontier_table(accuracy, {}, resamples=500)
