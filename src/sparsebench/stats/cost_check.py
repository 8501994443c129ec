"""Predicted beside measured: what the cost model says a configuration saves, and what the clock says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from sparsebench.cost.model import decode_cost, prefill_cost
from sparsebench.cost.pricing import shapes_of
from sparsebench.cost.shape import ITEMSIZE, ModelShape
from sparsebench.counting import causal_pairs
from sparsebench.methods import load_method, method_classes
from sparsebench.methods.base import DecodeMethod, Heads, PrefillMethod
from sparsebench.methods.dense import DenseDecode, DensePrefill
from sparsebench.spec import MethodSpec, MethodSpecs
from sparsebench.tables import COST_CHECK

Row = Mapping[str, Any]
_DENSE: dict[str, PrefillMethod | DecodeMethod] = {"prefill": DensePrefill(), "decode": DenseDecode()}


def cost_check_table(measurements: pa.Table, models: pa.Table, methods: MethodSpecs) -> pa.Table:
    """Cost and time of each measurement as shares of dense's (``MEASUREMENTS`` and ``MODELS`` to ``COST_CHECK``).

    Lines of ``attention`` are one layer's, priced from their own heads; lines of ``generation`` a whole model's, left
    out where ``models`` does not know it. Dense is the fastest dense backend of the same run.

    Parameters
    ----------
    methods
        Methods behind labels, with the parameters that were measured; a label that is not among them is taken as a
        method's own name.
    """
    shapes = shapes_of(models)
    lines = []
    for row in measurements.to_pylist():
        method = _method(row, methods)
        if method is None or row["phase"] not in _DENSE or not (row["kind"] == "attention" or row["model"] in shapes):
            continue
        spent, dense = (_cost(row, m, at, shapes) for m, at in ((method, row["density"]), (_DENSE[row["phase"]], 1.0)))
        share, time_share = spent / dense, row["time_ms"] / row["baseline_ms"]
        figures = {"cost": spent, "cost_share": share, "time_share": time_share, "excess": time_share / share}
        lines.append({name: row[name] for name in COST_CHECK.names if name in row} | figures)
    return pa.Table.from_pylist(lines, schema=COST_CHECK)


def _method(row: Row, methods: MethodSpecs) -> PrefillMethod | DecodeMethod | None:
    if row["kind"] not in ("attention", "generation"):
        return None
    known = {spec.label: spec for spec in getattr(methods, row["phase"], ())}
    label = row["method"]
    if label not in known and (row["phase"], label) not in method_classes():
        return None
    spec = known.get(label) or MethodSpec(label=label, method=label)
    return load_method(spec.model_copy(update={"params": json.loads(row["params"])}), row["phase"])


def _cost(row: Row, method: PrefillMethod | DecodeMethod, density: float, shapes: Mapping[str, ModelShape]) -> float:
    length, whole = row["length_tok"], row["kind"] == "generation"
    if isinstance(method, PrefillMethod):
        if whole:
            return prefill_cost(shapes[row["model"]], length, density, method, DenseDecode()).total
        attended = 4.0 * row["head_dim"] * row["heads"] * causal_pairs(length) * density
        return attended + method.estimation_flops(length, _heads(row))
    if whole:
        return decode_cost(shapes[row["model"]], length, row["new_tok"] or 1, density, method).total
    entries = 2.0 * row["kv_heads"] * row["head_dim"] * ITEMSIZE * length * density
    return entries + method.metadata_bytes(length, _heads(row), ITEMSIZE)


def _heads(row: Row) -> Heads:
    return Heads(row["heads"], row["kv_heads"], row["head_dim"])
