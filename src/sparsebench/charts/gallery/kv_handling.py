"""Keeping the whole KV cache or evicting from it: accuracy, memory, time per token."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.curves import Measure, Methods, interval_tips, method_curves, tip
from sparsebench.charts.data import Nothing, Tables, method_axes
from sparsebench.charts.style import blocks, drawn, gap_note, length_label, lengths_of, phase_title, stacked, with_gaps
from sparsebench.charts.timed import timed

NAME = "kv_handling"
TITLE = "KV cache: kept whole or evicted"
NEEDS = ("accuracy", "frontier", "measurements")
CAPTION = (
    "The same accuracies against three costs of decoding, a row of panels per prompt length. Left: share of the "
    "prompt's KV entries read per token, where a method that keeps the cache and one that evicts meet on equal terms. "
    "Middle: the cache that stays in memory, measured where the run was timed, else as a share: all of it for methods "
    "that keep it whole, what is read for methods that evict. Right: measured time per output token. Up is the share "
    "of dense kept, mean over tasks with signal, with its paired 95 % interval. Which method does which is in the "
    "heading; n is in the tooltips."
)

COLUMNS = "phase method cache sparsity length length_tok panel cost kept kept_low kept_high n"
KEPT = Measure("kept", "kept of dense", format="%")
READ, HELD = "KV entries read per token, share", "KV entries in memory, share"
MEASURED = {"kv_mib": "KV cache in memory, MiB", "time_ms": "ms per output token"}


def build(tables: Tables) -> Any:
    """One block per model: lengths down, the three costs across."""
    caches = {label: a.cache for (phase, label), a in method_axes(tables).items() if phase == "decode"}
    lines = tables.frontier.filter(
        (pl.col("phase") == "decode") & pl.col("kept").is_not_null() & pl.col("method").is_in(list(caches))
    ).with_columns(cache=pl.col("method").replace_strict(caches, default=None))
    real = lines.filter(~pl.col("control"))
    if real["cache"].n_unique() < 2:
        return Nothing(
            "No two ways of handling the KV cache were scored: it takes a method that evicts and one that does not."
        )
    methods = Methods(tables.methods, real["method"].unique().to_list())

    def draw(model: str, phase: str, part: pl.DataFrame) -> Any:
        return _panels(phase_title(model, phase), part, _timed(tables.measurements, part), methods)

    return stacked(blocks(real, draw))


def _timed(measurements: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Time per output token and KV cache of the same model, length, method and sparsity, where they were measured."""
    times = timed(measurements).filter(kind="generation", phase="decode")
    times = times.group_by("model", "length_tok", "method", "sparsity").agg(pl.col(*MEASURED).min())
    return lines.join(times, on=["model", "length_tok", "method", "sparsity"])


def _panels(title: str, lines: pl.DataFrame, times: pl.DataFrame, methods: Methods) -> Any:
    held = pl.when(pl.col("cache") == "evict").then(pl.col("attention_share")).otherwise(1.0)
    parts = {READ: lines.with_columns(cost=pl.col("attention_share")), HELD: lines.with_columns(cost=held)}
    parts |= {
        words: times.with_columns(cost=pl.col(c)) for c, words in MEASURED.items() if times[c].is_not_null().any()
    }
    if MEASURED["kv_mib"] in parts:
        del parts[HELD]
    frame = pl.concat([part.with_columns(panel=pl.lit(name)) for name, part in parts.items()], how="diagonal")
    frame = frame.filter(pl.col("cost").is_not_null())
    frame = frame.with_columns(length=length_label())
    names = lines.select("cache", "method").unique().sort("cache", "method").group_by("cache", maintain_order=True)
    how = "; ".join(f"{cache}: {', '.join(part['method'])}" for (cache,), part in names)
    note = "" if times.height else " · time per token was not measured on this model"
    x = alt.X(
        "cost:Q",
        title=None,
        scale=alt.Scale(type="log", nice=False, padding=12),
        axis=alt.Axis(format="~g", grid=False, tickCount=5),
    )
    tips = [
        tip("method:N"),
        tip("cache:N", "KV cache"),
        tip("sparsity"),
        tip("length_tok"),
        tip("panel:N", "cost"),
        tip("cost", "which is", ".3~g"),
        *interval_tips("kept", "kept of dense", ".1%"),
        tip("n"),
    ]
    run = alt.datum.phase != "absent"
    layers = method_curves(x, KEPT.spanning(frame, 0, 1), methods, tips, where=run, order="sparsity:Q")
    data = drawn(with_gaps(frame, "panel"), COLUMNS)
    panel = alt.layer(*layers, gap_note("not timed", 290, 160), data=data).properties(width=290, height=160)
    return panel.facet(
        row=alt.Row("length:N", sort=lengths_of(frame), title=None, header=alt.Header(labelOrient="right")),
        column=alt.Column("panel:N", sort=list(parts), title=None),
        title=alt.TitleParams(title, subtitle=how + note),
    ).resolve_scale(x="independent")
