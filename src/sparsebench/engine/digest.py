"""What a row depends on, as digests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from sparsebench.source import source_digest
from sparsebench.spec import CellSpec, MethodSpec

_ENGINE = Path(__file__).parent
_NUMERIC = (
    "attention",
    "batch",
    "chunks",
    "compact",
    "fanout",
    "generate",
    "heads",
    "lists",
    "load",
    "ops",
    "prefill",
    "step",
    "store",
)


def engine_digest() -> str:
    """Digest of the code that decides what a row comes out as, kernels included, methods excluded.

    Book-keeping (journal, tables, command line) is not part of it: editing that recomputes nothing. Nor is what changes
    rounding alone, by which a near tie between tokens may fall otherwise: device, batches, whether layers are compiled.
    """
    return source_digest(*(_ENGINE / f"{name}.py" for name in _NUMERIC), without=_ENGINE.parent / "methods")


def _setting(spec: MethodSpec, sparsity: float) -> dict[str, Any]:
    # The label is left out: renaming an entry of the config must not recompute it.
    return {"method": spec.method, "params": spec.params, "source": spec.digest, "sparsity": sparsity}


def row_digest(
    cell: CellSpec,
    sample_digest: str,
    model_digest: str,
    engine: str,
    impl: str,
    dtype: str,
    prefill_sparsity: float,
    decode: MethodSpec,
    decode_sparsity: float,
) -> str:
    """Key of a row in the journal: sample, weights, both settings with their source, engine, number format."""
    facts = {
        "sample": sample_digest,
        "weights": model_digest,
        "engine": engine,
        "impl": impl,
        "dtype": dtype,
        "cache": cell.cache,
        "prefill": _setting(cell.prefill.spec, prefill_sparsity),
        "decode": _setting(decode, decode_sparsity),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
