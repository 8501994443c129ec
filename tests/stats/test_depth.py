from __future__ import annotations

import polars as pl
import pytest

from sparsebench.stats.depth import depth_table
from sparsebench.tables import DEPTH, SCORES
from tests.stats.cells import decode_scores
from tests.stats.synthetic import accuracy_of


@pytest.fixture(scope="module")
def scores() -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(decode_scores(lambda *_: 1.0, sparsities=(0.9,), n=100)))


def _table(scores: pl.DataFrame) -> pl.DataFrame:
    given = scores.select(SCORES.names).to_arrow().cast(SCORES)
    return pl.DataFrame(pl.from_arrow(depth_table(given, accuracy_of(given), 500)))


def test_loss_shows_in_the_decile_where_it_happens(scores: pl.DataFrame) -> None:
    # Samples i have their evidence in decile i % 10; quest loses those of the fourth tenth.
    lost = (pl.col("decode") == "quest") & (pl.col("sample") % 10 == 3)
    table = _table(scores.with_columns(score=pl.when(lost).then(0.0).otherwise("score")))
    quest = table.filter(pl.col("method") == "quest").sort("decile")
    assert quest["decile"].to_list() == list(range(10))
    assert quest["n"].to_list() == [10] * 10
    assert quest["accuracy"].to_list() == [1.0] * 3 + [0.0] + [1.0] * 6
    assert quest["difference"].to_list() == [0.0] * 3 + [-1.0] + [0.0] * 6
    assert quest["difference_high"][3] < -0.5 < 0 < quest["difference_high"][4]
    dense = table.filter(pl.col("method") == "dense")
    assert dense.select("difference_low", "difference_high").unique().rows() == [(0.0, 0.0)]
    assert depth_table(scores.to_arrow().cast(SCORES), accuracy_of(scores.to_arrow().cast(SCORES)), 500).schema.equals(
        DEPTH, check_metadata=True
    )


def test_several_pieces_count_once_in_each_decile(scores: pl.DataFrame) -> None:
    # 1,014 tokens: pieces at 0 and 50 share the first tenth, 1,013 is in the last, and so is one at the very end.
    table = _table(scores.with_columns(evidence_tok=pl.lit([0, 50, 1013, 1014], pl.List(pl.Int32))))
    assert table["decile"].unique().sort().to_list() == [0, 9]
    assert table["n"].unique().to_list() == [100]
    assert table["pieces"].unique().to_list() == [4.0]


def test_tasks_without_evidence_have_no_line(scores: pl.DataFrame) -> None:
    assert _table(scores.with_columns(evidence_tok=pl.lit([], pl.List(pl.Int32)))).is_empty()


def test_missing_dense_leaves_the_difference_unknown(scores: pl.DataFrame) -> None:
    table = _table(scores.filter(pl.col("decode") != "dense"))
    assert table["difference"].is_null().all()
    assert table["difference_low"].is_null().all()
