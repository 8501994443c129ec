"""The cost model beside measured times: of made-up rows whose shares are known, and of those in the repository."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from sparsebench.cli import main
from sparsebench.spec import MethodSpecs
from sparsebench.stats.cost_check import cost_check_table
from sparsebench.tables import ACCURACY, COST_CHECK, MEASUREMENTS, write_table
from tests.stats.synthetic import models_table

PUBLISHED = Path(__file__).parents[2] / "resources" / "measurements" / "h200_attention.csv"
_EXAMPLE = {pa.string(): "", pa.int32(): 1, pa.float64(): 1.0}


def measured(**more: object) -> dict[str, object]:
    row = {f.name: _EXAMPLE[f.type] for f in MEASUREMENTS} | {"kind": "attention", "phase": "decode", "method": "quest"}
    row |= {"params": '{"page": 16}', "length_tok": 32768, "density": 0.1, "heads": 32, "kv_heads": 8, "head_dim": 128}
    return row | {"time_ms": 0.2, "baseline_ms": 1.0} | more


def check(*rows: dict[str, object]) -> pl.DataFrame:
    table = cost_check_table(pa.Table.from_pylist(list(rows), schema=MEASUREMENTS), models_table("m"), MethodSpecs())
    assert table.schema.equals(COST_CHECK, check_metadata=True)
    return pl.DataFrame(pl.from_arrow(table))


def test_shares_by_hand() -> None:
    line = check(measured()).row(0, named=True)
    # A tenth of the entries, and bounds of a sixteenth.
    assert line["cost_share"] == pytest.approx(0.1 + 1 / 16)
    assert line["time_share"] == pytest.approx(0.2)
    assert line["excess"] == pytest.approx(0.2 / 0.1625)


def test_whole_models_are_priced_with_their_weights() -> None:
    step = measured(kind="generation", model="m", method="snapkv", params="{}", length_tok=2048, new_tok=1)
    line = check(step).row(0, named=True)
    kv, weights = 30 * 2 * 3 * 64 * 2, 2 * 134_479_872
    assert line["cost"] == pytest.approx(weights + kv * (204.8 + 1))
    assert line["cost_share"] == pytest.approx((weights + kv * 205.8) / (weights + kv * 2049))


def test_what_cannot_be_priced_is_left_out() -> None:
    unknown_model = measured(kind="generation", model="elsewhere")
    other = [measured(kind="fanout", method="one_batch"), measured(method="transformers"), unknown_model]
    assert check(*other).is_empty()


def test_published_attention_times_beside_the_model() -> None:
    """One H200 at 131,072 tokens: what docs/tables.md says of it."""
    rows = pl.read_csv(PUBLISHED).filter(pl.col("length_tok") == 131_072)
    lines = check(*(measured(**row) for row in rows.select(set(rows.columns) & set(MEASUREMENTS.names)).to_dicts()))
    assert lines.height == rows.height
    excess = lines.group_by("method").agg(low=pl.col("excess").min(), high=pl.col("excess").max())
    found = {method: (round(low, 1), round(high, 1)) for method, low, high in excess.rows()}
    assert found == {
        "block_sparse": (1.1, 1.2),
        "flexprefill": (1.2, 1.8),
        "vertical_slash": (9.1, 26.1),
        "snapkv": (1.5, 2.3),
        "ada_snapkv": (1.5, 2.5),
        "quest": (2.0, 3.0),
    }


def test_at_the_terminal_methods_are_those_of_the_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = {"models": {"m": {"path": "x"}}, "tasks": {"ruler_niah": None}, "lengths": [32768]}
    config["decode"] = {"dense": None, "pages": {"method": "quest"}}
    timed = [measured(model="m", method=label) for label in ("pages", "quest", "elsewhere")]
    write_table(pa.Table.from_pylist(timed, schema=MEASUREMENTS), tmp_path / "by_hand.arrow")
    call = ["query", "cost-check", "--tables", str(tmp_path)]
    by_hand = [*call, "--measurements", str(tmp_path / "by_hand.arrow")]

    def told(call: list[str]) -> list[str]:
        assert main(call) == 0
        return [line.split()[4] for line in capsys.readouterr().out.splitlines()[1:-1]]

    assert told(by_hand) == ["quest"]  # no run: labels are names
    write_table(ACCURACY.empty_table(), tmp_path / "accuracy.arrow", {"config": json.dumps(config)})
    assert told(by_hand) == ["pages", "quest"]
    # Without a file of its own it tells what the run's table says, whatever the labels.
    of_run = check(measured(model="m")).with_columns(method=pl.lit("mine")).to_arrow().cast(COST_CHECK)
    write_table(of_run, tmp_path / "cost_check.arrow")
    assert told(call) == ["mine"]
