from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import vl_convert

from sparsebench.charts.data import Tables, load_tables, schema_of
from sparsebench.charts.gallery import kv_handling, latency
from sparsebench.charts.packed import vegalite_version
from sparsebench.charts.timed import timed
from sparsebench.report.rows import Numbered, numbered
from sparsebench.report.sentences import speed
from sparsebench.tables import write_table
from tests.charts.made import frame, line, tables_of
from tests.report.test_findings import only, plain
from tests.stats.synthetic import scores_table


def measured(method: str, sparsity: float, cache: str, time_ms: float, **more: object) -> dict:
    return line(
        "measurements", kind="generation", device="CPU some", model="tiny-135m", phase="decode", method=method,
        sparsity=sparsity, cache=cache, time_ms=time_ms, length_tok=1024, rows=1, baseline="transformers",
        baseline_ms=10.0, speedup=10.0 / time_ms, kv_mib=2.0 if cache == "compacted" else 8.0, **more,
    )  # fmt: skip


PUBLISHED = Path(__file__).parents[2] / "resources" / "measurements" / "h200_generation_131072.csv"
LINES = [
    measured("transformers", 0.0, "shared", 10.0),
    measured("dense", 0.0, "shared", 12.0),
    measured("snapkv", 0.9, "shared", 8.0),
    measured("snapkv", 0.9, "compacted", 5.0, spread_ms=0.5, readings=7),
    measured("quest", 0.9, "shared", 20.0, spread_ms=0.4, readings=7),
    measured("oracle", 0.9, "shared", 90.0),
    measured("one_batch", 0.9, "shared", 90.0) | {"kind": "fanout"},
]


def test_a_method_is_told_as_it_would_be_run() -> None:
    told = timed(frame("measurements", LINES)).sort("method")
    assert told.select("method", "cache").rows() == [("quest", "shared"), ("snapkv", "compacted")]


def test_nothing_timed_is_nothing_told() -> None:
    assert timed(frame("measurements", [])).is_empty()


def test_sentences_leave_baselines_and_controls_out_and_keep_their_links() -> None:
    (text,) = speed.sentences(only(measurements=LINES))
    ids = {r["method"]: r["id"] for r in numbered(frame("measurements", LINES), "x") if r["cache"] == "compacted"}
    assert f'<a class="n" href="#{ids["snapkv"]}">2 ± 0.2</a>' in text
    assert "(median of 7 timings, ± half their interquartile range)" in plain(text)
    assert "is 2 ± 0.2 for snapkv and 0.5 ± 0.01 for quest" in plain(text)


def test_charts_show_the_memory_that_was_measured() -> None:
    scores = pl.DataFrame(pl.from_arrow(scores_table(20, combine=False)))
    tables = replace(tables_of(scores), measurements=frame("measurements", LINES))
    drawn = {
        module.NAME: vl_convert.vegalite_to_svg(module.build(tables).to_dict(), vl_version=vegalite_version())
        for module in (kv_handling, latency)
    }
    assert "KV cache in memory, MiB" in drawn["kv_handling"]
    assert "ms per output token" in drawn["kv_handling"]
    assert "KV entries in memory, share" not in drawn["kv_handling"]
    assert "KV cache held" in drawn["latency"]
    assert "sparsity 0.9" in drawn["latency"]
    assert "sparsity 0<" not in drawn["latency"]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    folder = tmp_path_factory.mktemp("tables")
    made = tables_of(pl.DataFrame(pl.from_arrow(scores_table(5, combine=False))))
    for name in ("accuracy", "frontier"):
        write_table(getattr(made, name).to_arrow().cast(schema_of(name)), folder / f"{name}.arrow")
    return load_tables(folder, [PUBLISHED])


def test_few_readings_have_no_spread(published: Tables) -> None:
    spread = dict(published.measurements.select("readings", pl.col("spread_ms").is_not_null()).unique().rows())
    assert spread == {2: False, 30: True}  # transformers' own loop, read once and 8 times, is no method of the run
    prefill, decode = (
        next(plain(s) for s in speed.sentences(Numbered.of(published)) if f"in {phase}," in s)
        for phase in ("prefill", "decode")
    )
    assert prefill.endswith("speed relative to dense (median of 2 timings) is 2.94 for block_sparse.")
    assert "(median of 30 timings, ± half their interquartile range) is 1.65 ± 0.003 for snapkv" in decode


def test_bars_are_drawn_where_the_spread_is_known(published: Tables) -> None:
    drawn = [line for rows in latency.build(published).to_dict()["datasets"].values() for line in rows]
    bars = {(line["method"], line["readings"]): line["time_ms_low"] for line in drawn if line["method"] != "dense"}
    assert bars["block_sparse", 2] is None
    assert bars["quest", 30] == pytest.approx(6.627871 - 0.007643)


def test_memory_from_elsewhere_is_shown_beside_that_of_dense(published: Tables) -> None:
    drawn = [line for rows in latency.build(published).to_dict()["datasets"].values() for line in rows]
    held = {line["method"]: line["memory"] for line in drawn if line["readings"] == 30}
    assert held == pytest.approx({"dense": 16388.1, "quest": 17418.5, "snapkv": 829.9}, rel=1e-4)


def test_no_crossing_is_claimed_from_too_few_readings() -> None:
    lines = [
        measured("quest", 0.9, "shared", 5.0, spread_ms=spread, readings=readings) | {"length_tok": length}
        for spread, readings, length in ((0.1, 9, 1024), (0.1, 9, 4096), (None, 2, 8192))
    ]
    (sure,) = speed.sentences(only(measurements=lines[:2]))
    assert "faster than dense, of the lengths timed, quest from 1,024" in sure
    (unsure,) = speed.sentences(only(measurements=lines))
    assert "faster than dense" not in unsure
