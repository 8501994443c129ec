"""A scores table with known truth: who keeps how much, at what density, paired by sample."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from sparsebench.tables import SCORES

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
                rows += _rows(model, task, length, dense, "dense", 0.0, "dense", 0.0)
                for phase, methods in KEPT.items():
                    for method, kept in methods.items():
                        for sparsity, share in zip(SPARSITIES, kept, strict=True):
                            right = dense & (rng.random(n) < share)
                            place = (
                                (method, sparsity, "dense", 0.0)
                                if phase == "prefill"
                                else ("dense", 0.0, method, sparsity)
                            )
                            rows += _rows(model, task, length, right, *place)
                if combine:
                    for sparsity in (0.8, 0.95):
                        right = dense & (rng.random(n) < 0.9)
                        rows += _rows(model, task, length, right, "vertical_slash", 0.8, "quest", sparsity)
    return pa.Table.from_pylist(rows, schema=SCORES)


def _rows(
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
