"""Every table that is made from others, from scores that are poor in every way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from sparsebench.entries import Analysis
from sparsebench.errors import UserError
from sparsebench.spec import MethodSpec, MethodSpecs
from sparsebench.stats.derived import INPUTS, derive, inputs_of, module_of
from sparsebench.tables import MEASUREMENTS, SCORES
from sparsebench.tables.page import schema_of
from tests.stats.cells import decode_scores
from tests.stats.synthetic import models_table

METHODS = MethodSpecs(
    decode=(MethodSpec(label="quest", method="quest"), MethodSpec(label="mine", method="snapkv", params={"window": 8}))
)
FAST = Analysis(resamples=200, permutations=199)


def _scores(n: int = 8, models: tuple[str, ...] = ("small", "big"), right: float = 0.7) -> pl.DataFrame:
    made = decode_scores(
        lambda m, t, length, method, s: right if right in (0.0, 1.0) else right - s / 4,
        models,
        ("t", "u"),
        (512, 1024),
        ("quest", "mine"),
        (0.5, 0.9),
        n=n,
    )
    return pl.DataFrame(pl.from_arrow(made))


def _all(scores: pl.DataFrame, models: tuple[str, ...] = ("small", "big")) -> dict[str, pa.Table]:
    tables = {"scores": scores.select(SCORES.names).to_arrow().cast(SCORES), "models": models_table(*models)}
    tables["measurements"] = MEASUREMENTS.empty_table()
    for name in INPUTS:
        tables[name] = derive(name, {key: tables[key] for key in inputs_of(name)}, FAST, METHODS)
    return tables


POOR = {
    "plain": _scores(),
    "one sample": _scores(1),
    "always right": _scores(right=1.0),
    "always wrong": _scores(right=0.0),
    "one model": _scores(models=("small",)),
    "no rows": _scores().head(0),
    "dense alone": _scores().filter(pl.col("decode") == "dense"),
    "no dense": _scores().filter(pl.col("decode") != "dense"),
    "dense at one length": _scores().filter((pl.col("decode") != "dense") | (pl.col("length_tok") == 512)),
    "a task at one length": _scores().filter((pl.col("task") == "t") | (pl.col("length_tok") == 512)),
    "half of the rows": _scores(20).sample(fraction=0.5, seed=0),
    "no sample shared": _scores(20).filter((pl.col("decode") == "dense") == (pl.col("sample") % 2 == 0)),
}


@pytest.mark.parametrize("case", POOR)
def test_every_table_is_made_from_poor_scores(case: str) -> None:
    for name, table in _all(POOR[case]).items():
        assert table.schema.equals(schema_of(name), check_metadata=True), name
        for field in table.schema:
            if not field.nullable:
                assert table[field.name].null_count == 0, f"{name}.{field.name}"
            if pa.types.is_floating(field.type):
                assert not pl.Series(pl.from_arrow(table[field.name])).is_nan().any(), f"{name}.{field.name}"


def test_methods_of_a_config_are_priced_under_their_labels() -> None:
    accuracy = pl.DataFrame(pl.from_arrow(_all(POOR["plain"])["accuracy"]))
    line = accuracy.filter((pl.col("method") == "mine") & (pl.col("length_tok") == 512)).row(0, named=True)
    # 30 layers, 9 heads of 64 channels, 8 queries of the window, 502 prompt tokens.
    expected = 30 * 2 * 9 * 8 * 502 * 64 * (4 if line["model"] == "big" else 1)
    assert line["estimation_flops"] == expected
    assert (accuracy.filter(pl.col("method") == "quest")["metadata_bytes"] > 0).all()


def test_a_label_without_a_price_is_named() -> None:
    scores = POOR["plain"].with_columns(decode=pl.col("decode").replace("mine", "theirs"))
    with pytest.raises(UserError, match=r"unknown decode method 'theirs'.*mine, quest"):
        _all(scores)
    with pytest.raises(UserError, match="unknown table 'acuracy'; did you mean 'accuracy'"):
        inputs_of("acuracy")


def test_each_table_has_its_module() -> None:
    assert all(isinstance(module_of(name), Path) and module_of(name).is_file() for name in INPUTS)


def test_tables_that_price_nothing_do_without_torch() -> None:
    names = sorted(set(INPUTS) - {"accuracy", "cost_check"})
    code = f"import sys; from sparsebench.stats import {', '.join(names)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
