"""Time and memory against prompt length, on the device that they were measured on."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.curves import Measure, Methods, method_curves, tip
from sparsebench.charts.data import Nothing, Tables
from sparsebench.charts.palette import looks
from sparsebench.charts.style import apart, drawn, length_axis, panel_width, stacked
from sparsebench.charts.timed import KINDS, timed
from sparsebench.stats.configuration import DENSE

NAME = "latency"
TITLE = "Time and memory versus length"
NEEDS = ("accuracy", "measurements")
CAPTION = (
    "Median time against prompt length, both axes logarithmic, selection of what to attend to included; black is the "
    "fastest dense backend of the same run. Bars are half the interquartile range, where 4 timings or more tell it. "
    "Below, memory: of a whole model's decode the KV cache held, where evicting methods have freed what they evicted; "
    "elsewhere the most device memory, where the device tells it. Each block names its device and model: figures of "
    "two devices do not compare. The number n of timings behind a median, the speed-up over dense and the share that "
    "selection takes are in the tooltips."
)

COLUMNS = (
    "method length_tok place sparsity panel time_ms time_ms_low time_ms_high speedup density selection memory "
    "memory_low memory_high peak_mib kv_mib readings baseline rows"
)
MEMORY = {"peak_mib": "most device memory", "kv_mib": "KV cache held"}
WHAT = {
    ("attention", "prefill"): "a whole prompt",
    ("attention", "decode"): "a generated token",
    ("generation", "prefill"): "time to the first token",
    ("generation", "decode"): "time per output token",
}


def build(tables: Tables) -> Any:
    """One block per device, model, kind, phase and rows: a panel per sparsity, times above memory."""
    lines = timed(tables.measurements)
    if lines.is_empty():
        return Nothing("No times were measured, and none from elsewhere were given.")
    every = sorted({*tables.methods, *lines["method"]})
    methods = Methods(every, sorted({*lines["method"], DENSE}))
    place = ["device", "kind", "phase", "model", "rows"]
    dense = tables.measurements.filter(pl.col("method") == DENSE)
    groups = lines.partition_by(place, maintain_order=True)
    parts = []
    for group in sorted(groups, key=lambda g: (list(KINDS).index(g["kind"][0]), g["phase"][0] != "prefill")):
        parts += _blocks(group, dense.join(group.select(place).unique(), on=place, how="semi"), methods)
    return stacked(parts)


def _blocks(sparse: pl.DataFrame, whole: pl.DataFrame, methods: Methods) -> list[Any]:
    """Times and memory of one device, model, kind, phase and rows; ``whole``: lines of dense attention there."""
    first = sparse.row(0, named=True)
    title = (
        f"{first['device']} · {KINDS[first['kind']]}, {first['model']} · {first['phase']}: "
        f"{WHAT[first['kind'], first['phase']]}, {first['rows']} " + ("row" if first["rows"] == 1 else "rows")
    )
    held = whole.group_by("length_tok").agg(pl.col("peak_mib", "kv_mib").max())
    dense = (
        sparse.sort("length_tok", "sparsity")
        .unique(["length_tok", "sparsity"], maintain_order=True)
        .with_columns(
            method=pl.lit(DENSE),
            time_ms=pl.col("baseline_ms"),
            spread_ms=pl.lit(None, pl.Float64),
            speedup=pl.lit(1.0),
            density=pl.lit(1.0),
            estimation_ms=pl.lit(0.0),
        )
        .drop("peak_mib", "kv_mib")
        .join(held, on="length_tok", how="left")
        .select(sparse.columns)
    )
    # The peak of decode steps holds the whole prompt's cache, from which every setting is timed; a CPU tells no peak.
    step = (first["kind"], first["phase"]) == ("generation", "decode")
    memory = "kv_mib" if step or sparse["peak_mib"].is_null().all() else "peak_mib"
    frame = pl.concat([sparse, dense]).with_columns(
        panel=pl.format("sparsity {}", pl.col("sparsity").round(4)),
        place=pl.col("length_tok").cast(pl.Float64),
        time_ms_low=pl.when(pl.col("spread_ms").is_not_null()).then(
            pl.max_horizontal(pl.col("time_ms") - pl.col("spread_ms"), pl.col("time_ms") / 2)
        ),
        time_ms_high=pl.col("time_ms") + pl.col("spread_ms"),
        memory=pl.col(memory),
        memory_low=pl.col(memory),
        memory_high=pl.col(memory),
        selection=pl.col("estimation_ms") / pl.col("time_ms"),
    )
    frame = apart(frame, "place", 0.08)
    times = _panels(title, frame, Measure("time_ms", "ms", format="~g", kind="log"), methods, 220)
    frame = frame.filter(pl.col("memory").is_not_null())
    if frame.is_empty():
        return [times]
    words = MEMORY[memory]
    axis = Measure("memory", "MiB", format=",~g", kind="log")
    return [times, _panels(f"{title}: {words}", frame, axis, methods, 130)]


def _panels(title: str, frame: pl.DataFrame, measure: Measure, methods: Methods, height: int) -> Any:
    tips = [
        tip("method:N"),
        tip("length_tok"),
        tip("sparsity"),
        tip("density", "measured density", ".3f"),
        tip("time_ms", "ms", ".4~g"),
        tip("speedup", "times as fast as dense", ".2f"),
        tip("selection", "share of selection", ".0%"),
        tip("peak_mib", "peak MiB", ",.0f"),
        tip("kv_mib", "KV cache, MiB", ",.1f"),
        tip("baseline:N", "dense backend"),
        tip("rows"),
        tip("readings", "n"),
    ]
    panels = frame["panel"].unique().sort().to_list()
    layers = method_curves(length_axis(frame["length_tok"], "place"), measure, methods, tips)
    panel = alt.layer(*layers, data=drawn(frame.filter(pl.col("method").is_in(list(looks(methods.every)))), COLUMNS))
    return panel.properties(width=panel_width(len(panels), most=400), height=height).facet(
        column=alt.Column("panel:N", sort=panels, title=None), title=title
    )
