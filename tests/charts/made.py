"""Every table of a run: from scores with known truth, and by hand where statistics would be slow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
import pyarrow as pa

from sparsebench.charts.data import Tables, schema_of
from sparsebench.stats.effects import effects_table
from sparsebench.stats.tolerance import tolerance_table
from tests.stats.synthetic import accuracy_of, frontier_of, models_table

_BLANK = {pa.string(): "", pa.bool_(): False}


def line(table: str, **values: Any) -> dict[str, Any]:
    """A line of ``table``; columns not given are zero, empty or unknown."""
    schema = schema_of(table)
    unknown = set(values) - set(schema.names)
    assert not unknown, f"{table} has no columns {unknown}"
    return {f.name: values.get(f.name, None if f.nullable else _BLANK.get(f.type, 0)) for f in schema}


def frame(table: str, lines: list[dict[str, Any]]) -> pl.DataFrame:
    """Lines as a data frame with the table's schema."""
    return pl.DataFrame(pl.from_arrow(pa.Table.from_pylist(lines, schema=schema_of(table))))


def tables_of(scores: pl.DataFrame, config: Mapping[str, Any] | None = None) -> Tables:
    """Every table of a run with these scores."""
    accuracy = accuracy_of(scores.to_arrow())
    found = {
        "accuracy": accuracy,
        "frontier": frontier_of(accuracy),
        "tolerance": tolerance_table(accuracy),
        "effects": effects_table(accuracy),
        "models": models_table(*sorted(scores["model"].unique())),
    }
    known = {name: pl.DataFrame(pl.from_arrow(table)) for name, table in found.items()}
    sparse = known["accuracy"].filter(pl.col("signal") & (pl.col("phase") != "dense"))
    rows = sparse.sort("model", "task", "length_tok", "phase", "method", "sparsity").to_dicts()
    return Tables(
        **known,
        depth=frame("depth", list(_depth(known["accuracy"]))),
        iso_cost=frame("iso_cost", list(_duels(rows))),
        scaling=frame("scaling", list(_fits(rows))),
        scaling_points=frame("scaling_points", list(_points(rows))),
        adaptivity=frame("adaptivity", list(_adaptivity(rows))),
        measurements=frame("measurements", list(_measurements(rows))),
        cost_check=frame("cost_check", list(_cost_check(rows))),
        config=config or {},
    )


def _named(row: Mapping[str, Any], *columns: str) -> dict[str, Any]:
    return {c: row[c] for c in columns}


def _depth(accuracy: pl.DataFrame) -> Iterator[dict[str, Any]]:
    for row in accuracy.to_dicts():
        place = {c: row[c] for c in schema_of("depth").names if c in row}
        for decile in range(10):
            yield line("depth", **place | {"decile": decile, "n": 2, "pieces": 1.0})


def _duels(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        if row["sparsity"] == 0.9 and not row["control"] and row["task"] == rows[0]["task"]:
            yield line(
                "iso_cost",
                kind="sizes",
                **_named(row, "length_tok", "phase"),
                model_a=row["model"],
                method_a=row["method"],
                sparsity_a=0.9,
                cost_a=2e9,
                accuracy_a=row["accuracy"],
                model_b="smaller",
                method_b="dense",
                cost_b=2e9,
                accuracy_b=row["accuracy"] - 0.1,
                cost_unit="FLOP per prompt",
                tasks=row["task"],
                n_tasks=1,
                n=40,
                difference=0.1,
                difference_low=0.02,
                difference_high=0.18,
                p_holm=0.01,
                winner="a",
            )


def _fits(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for phase, method, control in sorted({(r["phase"], r["method"], r["control"]) for r in rows}):
        for split in ("nothing", "longest length"):
            held = {"n_held_out": 8, "held_out_error": 0.08, "naive_error": 0.3, "noise": 0.05}
            yield line(
                "scaling",
                phase=phase,
                method=method,
                control=control,
                split=split,
                term="log2 length",
                coefficient=-0.5,
                n_points=16,
                n=640,
                error=0.06,
                **(held if split != "nothing" else {}),
            )


def _points(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    longest = max((r["length_tok"] for r in rows), default=0)
    for row in rows:
        for split in ("nothing", "longest length"):
            yield line(
                "scaling_points",
                **_named(row, "phase", "method", "control", "model", "task", "length_tok", "sparsity", "n"),
                split=split,
                budget=1 - row["sparsity"],
                observed=row["accuracy"],
                observed_low=row["accuracy_low"],
                observed_high=row["accuracy_high"],
                predicted=min(1.0, row["accuracy"] + 0.05),
                held_out=split != "nothing" and row["length_tok"] == longest,
            )


def _adaptivity(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    lengths = sorted({r["length_tok"] for r in rows})
    if len(lengths) < 2:
        return
    for model, phase, method, control in sorted({(r["model"], r["phase"], r["method"], r["control"]) for r in rows}):
        for i, length in enumerate(lengths):
            yield line(
                "adaptivity",
                model=model,
                task="all",
                phase=phase,
                method=method,
                control=control,
                length_tok=length,
                share=0.95,
                n=80,
                tolerated=0.6 + 0.1 * i,
                tolerated_low=0.5 + 0.1 * i,
                tolerated_high=0.7 + 0.1 * i if i else None,
                bound="exact" if i else "at least",
                budget_tok=length * (0.4 - 0.1 * i),
                kept_same_share=0.95,
                kept_same_share_low=0.9,
                kept_same_share_high=1.0,
                kept_same_tokens=0.95 - 0.2 * i,
                kept_same_tokens_low=0.9 - 0.2 * i,
                kept_same_tokens_high=1.0 - 0.2 * i,
                growth=0.58,
                growth_low=0.4 if phase == "prefill" else None,
                growth_high=0.7,
                n_lengths=len(lengths),
            )


def _measurements(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    timed = {(r["phase"], r["method"], r["sparsity"]) for r in rows if r["phase"] in ("prefill", "decode")}
    for phase, method, sparsity in sorted(timed):
        for length in (4096, 131072):
            yield line(
                "measurements",
                kind="attention",
                device="NVIDIA H200",
                model="H32 G8 D128",
                phase=phase,
                method=method,
                params="{}",
                heads=32,
                kv_heads=8,
                head_dim=128,
                length_tok=length,
                sparsity=sparsity,
                density=1 - sparsity,
                rows=1,
                cache="shared",
                time_ms=length / 1e4,
                spread_ms=0.01,
                readings=9,
                estimation_ms=0.1,
                baseline="cudnn",
                baseline_ms=length**2 / 1e8,
                speedup=length / 1e4,
                peak_mib=length / 64,
            )


def _cost_check(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    columns = schema_of("cost_check").names
    for timed in _measurements(rows):
        share = 1.2 * timed["density"]
        figures = {"cost": 1e9 * share, "cost_share": share, "time_share": 1.5 * share, "excess": 1.5}
        yield line("cost_check", **{name: timed[name] for name in columns if name in timed} | figures)
