"""What each line of a table costs: the model's shape and the methods' estimates, at measured densities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import polars as pl
import pyarrow as pa

from sparsebench.cost.columns import PRICED
from sparsebench.cost.model import decode_cost, prefill_cost
from sparsebench.cost.shape import ModelShape
from sparsebench.errors import unknown
from sparsebench.methods import load_method
from sparsebench.methods.base import DecodeMethod, PrefillMethod
from sparsebench.spec import MethodSpec, MethodSpecs

# FLOPs that a device computes while it reads a byte: an H100 SXM's data sheet, 989 TFLOP/s in bfloat16 over 3.35 TB/s.
FLOP_PER_BYTE = 295.0


def shapes_of(models: pa.Table) -> dict[str, ModelShape]:
    """Shape of each model, by label (from ``MODELS``)."""
    names = [f.name for f in fields(ModelShape)]
    return {row["model"]: ModelShape(**{name: row[name] for name in names}) for row in models.to_pylist()}


@dataclass(frozen=True)
class Pricing:
    """Prices configurations.

    Parameters
    ----------
    shapes
        Shape of each model, by label.
    prefill, decode
        Methods by label; ``dense`` needs no entry.
    flop_per_byte
        What a byte read counts in FLOPs where both phases are added up.
    """

    shapes: Mapping[str, ModelShape]
    prefill: Mapping[str, PrefillMethod]
    decode: Mapping[str, DecodeMethod]
    flop_per_byte: float = FLOP_PER_BYTE

    @classmethod
    def of(cls, models: pa.Table, methods: MethodSpecs, flop_per_byte: float = FLOP_PER_BYTE) -> Pricing:
        """From the table ``MODELS`` and the methods of a config."""
        dense = MethodSpec(label="dense", method="dense")
        return cls(
            shapes_of(models),
            {spec.label: load_method(spec, "prefill") for spec in (*methods.prefill, dense)},
            {spec.label: load_method(spec, "decode") for spec in (*methods.decode, dense)},
            flop_per_byte,
        )

    def with_costs(self, lines: pl.DataFrame) -> pl.DataFrame:
        """Add the columns ``PRICED`` to lines with a configuration, its densities, prompt and generated tokens."""
        priced = list(self._priced(lines))
        columns = {name: [row[name] for row in priced] for name in PRICED}
        return lines.with_columns(pl.Series(name, values, pl.Float64) for name, values in columns.items())

    def _priced(self, lines: pl.DataFrame) -> Iterator[dict[str, float]]:
        columns = ["model", "prefill", "decode", "prompt_tok", "generated_tok", "prefill_density", "decode_density"]
        for row in lines.select(columns).iter_rows(named=True):
            yield self._price(row)

    def _price(self, row: dict[str, Any]) -> dict[str, float]:
        shape = _known("model", row["model"], self.shapes)
        prefill = _known("prefill method", row["prefill"], self.prefill)
        decode = _known("decode method", row["decode"], self.decode)
        prompt = prefill_cost(shape, row["prompt_tok"], row["prefill_density"], prefill, decode)
        token = decode_cost(shape, row["prompt_tok"], row["generated_tok"], row["decode_density"], decode)
        answer = prompt.total + self.flop_per_byte * token.total * row["generated_tok"]
        return {
            "prefill_flops": prompt.total,
            "attention_flops": prompt.attention,
            "estimation_flops": prompt.estimation,
            "decode_bytes": token.total,
            "kv_bytes": token.kv,
            "metadata_bytes": token.metadata,
            "answer_flops": answer,
        }


def _known(kind: str, label: str, known: Mapping[str, Any]) -> Any:
    if label not in known:
        raise unknown(kind, label, known, "scores and config disagree")
    return known[label]
