from __future__ import annotations

import polars as pl
import pyarrow as pa
import pytest

from sparsebench.errors import UserError
from sparsebench.tables import ACCURACY
from tests.stats.synthetic import KEPT, LENGTHS, SPARSITIES, TASKS, accuracy_of, scores_table

N = 40


@pytest.fixture(scope="module")
def scores() -> pa.Table:
    return scores_table(N)


@pytest.fixture(scope="module")
def accuracy(scores: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(accuracy_of(scores)))


def test_one_line_per_configuration(accuracy: pl.DataFrame) -> None:
    sweeps = sum(len(methods) for methods in KEPT.values()) * len(SPARSITIES)
    assert accuracy.height == len(TASKS) * len(LENGTHS) * (1 + sweeps + 2)


def test_schema_and_units(scores: pa.Table) -> None:
    table = accuracy_of(scores)
    assert table.schema.equals(ACCURACY, check_metadata=True)
    assert table.schema.field("length_tok").metadata[b"unit"] == b"tokens"


def test_intervals_hold_the_truth(accuracy: pl.DataFrame) -> None:
    missed = total = 0
    for phase, methods in KEPT.items():
        for method, kept in methods.items():
            for sparsity, share in zip(SPARSITIES, kept, strict=True):
                lines = accuracy.filter(
                    (pl.col("phase") == phase) & (pl.col("method") == method) & (pl.col("sparsity") == sparsity)
                )
                for line in lines.iter_rows(named=True):
                    truth = TASKS[line["task"]] * share
                    missed += not line["accuracy_low"] - 1e-9 <= truth <= line["accuracy_high"] + 1e-9
                    total += 1
    assert total == 240
    assert missed <= 24  # 5 % expected; lines of one task share their dense answers, so misses cluster


def test_difference_is_paired(accuracy: pl.DataFrame) -> None:
    for line in accuracy.filter(pl.col("phase") != "dense").iter_rows(named=True):
        assert line["n_pairs"] == N
        assert line["difference"] == pytest.approx(line["accuracy"] - line["dense_accuracy"])
        assert line["difference_low"] <= line["difference"] <= line["difference_high"]
        assert line["difference"] <= 0


def test_phases_and_names(accuracy: pl.DataFrame) -> None:
    both = accuracy.filter(pl.col("phase") == "both")
    assert set(both["method"]) == {"vertical_slash@0.8 + quest"}
    assert set(both["sparsity"]) == {0.8, 0.95}
    assert set(both["prefill"]) == {"vertical_slash"}
    assert set(accuracy.filter("control")["method"]) == {"oracle", "random"}


def test_cost_is_the_measured_density_of_the_phase(accuracy: pl.DataFrame) -> None:
    line = accuracy.filter((pl.col("phase") == "prefill") & (pl.col("sparsity") == 0.8)).row(0, named=True)
    assert line["attention_share"] == pytest.approx(0.2 * 1.02)
    both = accuracy.filter((pl.col("phase") == "both") & (pl.col("sparsity") == 0.8)).row(0, named=True)
    t, g = both["length_tok"] - 10, 20
    # By hand: T^2/2 pairs at 0.204 and g*T pairs at 0.198, of T^2/2 + g*T.
    assert both["attention_share"] == pytest.approx((t * t / 2 * 0.204 + g * t * 0.198) / (t * t / 2 + g * t))


def test_task_at_chance_has_no_signal(accuracy: pl.DataFrame) -> None:
    signal = accuracy.group_by("task").agg(pl.col("signal").all()).sort("task")
    # vt is right in about 1 of 40 samples: above a guesser's 0, yet nothing that a sparse method could visibly lose.
    assert signal.rows() == [("niah_hex", True), ("niah_prose", True), ("vt", False)]


def test_chance_is_the_mean_over_the_samples(scores: pa.Table) -> None:
    # As in qa_toefl: four options, of which one or two are right.
    ways = pl.when(pl.col("sample") < 10).then(6).otherwise(4)
    frame = pl.DataFrame(pl.from_arrow(scores)).with_columns(chance=1 / ways)
    found = accuracy_of(frame.to_arrow().cast(scores.schema))["chance"].to_numpy()
    assert found == pytest.approx((10 / 6 + (N - 10) / 4) / N)


def test_dense_line_differs_by_nothing(accuracy: pl.DataFrame) -> None:
    dense = accuracy.filter(pl.col("phase") == "dense")
    assert (dense["difference"] == 0).all()
    assert (dense["attention_share"] == 1).all()
    assert dense["oracle_gap"].is_null().all()


def test_gap_to_the_oracle(accuracy: pl.DataFrame) -> None:
    line = accuracy.filter(
        (pl.col("phase") == "decode") & (pl.col("method") == "random") & (pl.col("sparsity") == 0.9) & pl.col("signal")
    )
    assert (line["oracle_gap_high"] < -0.5).all()
    oracle = accuracy.filter(pl.col("method") == "oracle")
    assert (oracle["oracle_gap"] == 0).all()


def test_missing_rows_are_counted_and_pairs_still_match(scores: pa.Table) -> None:
    frame = pl.DataFrame(pl.from_arrow(scores))
    lost = (pl.col("decode") == "quest") & (pl.col("decode_sparsity") == 0.9) & (pl.col("sample") % 2 == 0)
    accuracy = pl.DataFrame(pl.from_arrow(accuracy_of(frame.filter(~lost).to_arrow())))
    line = accuracy.filter((pl.col("method") == "quest") & (pl.col("sparsity") == 0.9)).row(0, named=True)
    assert (line["n"], line["n_missing"], line["n_pairs"]) == (N // 2, N // 2, N // 2)
    assert line["samples"] == list(range(1, N, 2))
    dense = frame.filter(
        (pl.col("prefill") == "dense")
        & (pl.col("decode") == "dense")
        & (pl.col("sample") % 2 == 1)
        & (pl.col("task") == line["task"])
        & (pl.col("length_tok") == line["length_tok"])
    )
    assert line["dense_accuracy"] == pytest.approx(dense["score"].mean())


def test_no_dense_rows_leave_differences_unknown(scores: pa.Table) -> None:
    frame = pl.DataFrame(pl.from_arrow(scores))
    frame = frame.filter((pl.col("prefill") != "dense") | (pl.col("decode") != "dense"))
    accuracy = pl.DataFrame(pl.from_arrow(accuracy_of(frame.to_arrow())))
    assert accuracy["difference"].is_null().all()
    assert (accuracy["n_pairs"] == 0).all()
    assert not accuracy["signal"].any()


def test_one_sample(scores: pa.Table) -> None:
    frame = pl.DataFrame(pl.from_arrow(scores)).filter(pl.col("sample") == 0)
    accuracy = pl.DataFrame(pl.from_arrow(accuracy_of(frame.to_arrow())))
    assert (accuracy["n"] == 1).all()
    assert ((accuracy["accuracy_high"] - accuracy["accuracy_low"]) > 0.7).all()


def test_a_sample_scored_twice_is_refused(scores: pa.Table) -> None:
    with pytest.raises(UserError, match="more than once"):
        accuracy_of(pa.concat_tables([scores, scores.slice(0, 1)]))


def test_no_rows_give_an_empty_table(scores: pa.Table) -> None:
    assert accuracy_of(scores.slice(0, 0)).num_rows == 0


def test_configuration_does_not_differ_from_itself() -> None:
    table = pl.DataFrame(pl.from_arrow(accuracy_of(scores_table(3))))
    dense = table.filter(pl.col("phase") == "dense")
    ends = ["difference", "difference_low", "difference_high"]
    assert dense.select(ends).unique().rows() == [(0.0, 0.0, 0.0)]
    oracle = table.filter(pl.col("method") == "oracle")
    assert oracle.select("oracle_gap", "oracle_gap_low", "oracle_gap_high").unique().rows() == [(0.0, 0.0, 0.0)]
    # Another method that scores the same on three samples might still differ on the next.
    assert (table.filter(pl.col("phase") == "prefill")["difference_high"] > 0).any()


def test_share_kept_lies_between_nothing_and_a_perfect_score() -> None:
    table = pl.DataFrame(pl.from_arrow(accuracy_of(scores_table(6)))).filter(pl.col("dense_accuracy") > 0)
    assert (table["kept_low"] >= 0).all()
    assert (table["kept_high"] <= 1 / table["dense_accuracy"]).all()
    # A method that loses every sample keeps nothing, and is not shown to keep less than that.
    lost = table.filter(pl.col("accuracy") == 0, pl.col("phase") == "prefill")
    assert lost.height
    assert (lost["kept"] == 0).all()
    assert (lost["kept_low"] == 0).all()
