"""Tables of measurements as text: Markdown that reads as it is and goes into a page as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa

Row = Mapping[str, Any]


def figure(value: float | None, digits: int = 3) -> str:
    """``value`` to so many digits, never in powers of ten; a dash for nothing."""
    if value is None:
        return "-"
    whole = f"{value:.0f}"
    if len(whole.lstrip("-")) >= digits:
        return whole
    text = f"{value:.{digits}g}"
    return text if "e" not in text else f"{value:.4f}"


def _time(row: Row) -> str:
    spread = f" ± {figure(row['spread_ms'], 2)}" if row["spread_ms"] is not None else ""
    return figure(row["time_ms"]) + spread


_WHO: dict[str, Callable[[Row], str]] = {
    "method": lambda row: row["method"],
    "sparsity": lambda row: f"{row['sparsity']:g}",
    "density": lambda row: figure(row["density"]),
}
_HELD_AGAINST: dict[str, Callable[[Row], str]] = {
    "dense ms": lambda row: f"{figure(row['baseline_ms'])} ({row['baseline']})",
    "ratio": lambda row: f"{row['speedup']:.2f}",
}
_RATES: dict[str, dict[str, Callable[[Row], str]]] = {
    "prefill": {"TFLOP/s": lambda row: figure(row["tflop_s"])},
    "decode": {"TB/s": lambda row: figure(row["tb_s"])},
}
_FLOOR: dict[str, Callable[[Row], str]] = {
    "floor ms": lambda row: figure(row["floor_ms"]),
    "time / floor": lambda row: f"{row['time_ms'] / row['floor_ms']:.2f}",
}
_MEMORY: dict[str, Callable[[Row], str]] = {
    "KV MiB": lambda row: figure(row["kv_mib"]),
    "peak MiB": lambda row: figure(row["peak_mib"]),
}


def _columns(kind: str, phase: str) -> dict[str, Callable[[Row], str]]:
    if kind == "attention":
        parts = {
            "selection ms": lambda row: figure(row["estimation_ms"]),
            "attention ms": lambda row: figure(row["attention_ms"]),
            "total ms": _time,
        }
        return _WHO | parts | _HELD_AGAINST | _RATES[phase] | _FLOOR
    if kind == "generation":
        name = "first token ms" if phase == "prefill" else "ms per token"
        cache = {"cache": lambda row: row["cache"]} if phase == "decode" else {}
        return _WHO | cache | {name: _time} | _HELD_AGAINST | _RATES[phase] | _FLOOR | _MEMORY
    return {
        "way": lambda row: row["method"],
        "rows": lambda row: str(row["rows"]),
        "new tokens": lambda row: str(row["new_tok"]),
        "s": lambda row: figure(row["time_ms"] / 1e3),
        "ratio": lambda row: f"{row['speedup']:.1f}",
        "of which": lambda row: ", ".join(f"{k} {figure(v)}" for k, v in json.loads(row["params"]).items()),
    }


def lines(table: pa.Table) -> Iterator[str]:
    """A heading with the device and its ceilings, then a table for each kind, model, phase and length."""
    own = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
    for meta in json.loads(own["measured_on"]).values() if "measured_on" in own else [own]:
        yield from _about(meta)
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in table.to_pylist():
        key = (row["kind"], row["model"], row["phase"], row["length_tok"], row["dtype"])
        groups.setdefault(key, []).append(row)
    for (kind, model, phase, length, dtype), rows in groups.items():
        columns = _columns(kind, phase)
        yield ""
        yield f"### {kind}, {phase}: {model}, {int(length):,} tokens, {dtype}"
        yield ""
        yield "| " + " | ".join(columns) + " |"
        yield "|" + "---|" * len(columns)
        for row in rows:
            yield "| " + " | ".join(column(row) for column in columns.values()) + " |"


def _about(meta: Mapping[str, str]) -> Iterator[str]:
    software = json.loads(meta.get("versions", "{}"))
    about = [meta.get("device", "unknown device")]
    about += [f"driver {meta['driver']}"] if "driver" in meta else []
    about += [f"{name} {software[name]}" for name in ("torch", "triton", "transformers") if name in software]
    yield ", ".join(about)
    if "copy_tb_s" in meta:
        yield f"ceilings in this run: copy {meta['copy_tb_s']} TB/s, matrix product {meta['matmul_tflop_s']} TFLOP/s"
