from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from scipy.special import expit

from sparsebench.stats.logit import fit, predict
from sparsebench.stats.scaling import scaling_table
from sparsebench.stats.scaling_points import scaling_points_table
from sparsebench.tables import MODELS, SCALING, SCALING_POINTS, SCORES
from tests.stats.cells import decode_scores
from tests.stats.simulations import ROUNDS, covers
from tests.stats.synthetic import accuracy_of, models_table

SIZES = {"m1": 1, "m2": 2, "m4": 4, "m8": 8}  # billions of weights
LENGTHS = (1024, 2048, 4096, 8192)
SIZE, LENGTH, BUDGET = 0.8, -0.3, -0.6


def truth(model: str, task: str, length: int, method: str, sparsity: float) -> float:
    task_at = {"t": 1.5, "u": 0.5}[task]
    return float(
        expit(task_at + SIZE * np.log2(SIZES[model]) + LENGTH * np.log2(length / 1024) - BUDGET * np.log2(1 - sparsity))
    )


def models() -> pa.Table:
    frame = pl.DataFrame(pl.from_arrow(models_table(*SIZES, tokenizer="m1")))
    sizes = frame["model"].replace_strict({m: b * 10**9 for m, b in SIZES.items()}, return_dtype=pl.Int64)
    return frame.with_columns(parameters=sizes).to_arrow().cast(MODELS)


@pytest.fixture(scope="module")
def accuracy() -> pa.Table:
    return accuracy_of(decode_scores(truth, SIZES, ("t", "u"), LENGTHS, sparsities=(0.5, 0.75, 0.875), n=150))


@pytest.fixture(scope="module")
def scaling(accuracy: pa.Table) -> pl.DataFrame:
    table = scaling_table(accuracy, models(), 800)
    assert table.schema.equals(SCALING, check_metadata=True)
    return pl.DataFrame(pl.from_arrow(table))


def test_known_coefficients_are_found(scaling: pl.DataFrame) -> None:
    whole = scaling.filter(pl.col("split") == "nothing")
    found = {row["term"]: row for row in whole.to_dicts()}
    # Synthetic densities are 0.99 of the target: budget slopes differ by next to nothing.
    for term, value in {"log2 size": SIZE, "log2 length": LENGTH, "log2 1/budget": BUDGET, "task t": 1.5}.items():
        assert found[term]["coefficient"] == pytest.approx(value, abs=0.25), term
        assert found[term]["coefficient_low"] < found[term]["coefficient"] < found[term]["coefficient_high"]
    assert whole["n_points"].unique().to_list() == [4 * 2 * 4 * 4]


def test_what_is_held_out_is_foretold_almost_as_well_as_samples_allow(scaling: pl.DataFrame) -> None:
    held = scaling.filter(pl.col("split") != "nothing").unique("split")
    assert set(held["split"]) == {"largest size", "longest length"}
    assert held["n_held_out"].to_list() == [32, 32]
    assert (held["held_out_error"] < 2.5 * held["noise"]).all()
    assert (held["held_out_error"] < 0.6 * held["naive_error"]).all()


@pytest.mark.parametrize("broken", [0.3, 0.03])  # at 0.03 dense has no signal either
def test_a_law_that_breaks_is_seen_in_the_held_out_error(broken: float) -> None:
    def breaks(model: str, task: str, length: int, method: str, sparsity: float) -> float:
        return broken if length == LENGTHS[-1] else truth(model, task, length, method, sparsity)

    scores = decode_scores(breaks, SIZES, ("t", "u"), LENGTHS, sparsities=(0.5, 0.75), n=100)
    accuracy = accuracy_of(scores)
    table = pl.DataFrame(pl.from_arrow(scaling_table(accuracy, models(), 400)))
    held = table.filter(pl.col("split") == "longest length")
    assert (held["held_out_error"] > 5 * held["noise"]).all()
    assert table["n_points"].max() == 4 * 2 * 4 * 3
    points = pl.DataFrame(pl.from_arrow(scaling_points_table(accuracy, models())))
    longest = points.filter((pl.col("split") == "longest length") & pl.col("held_out"))
    assert longest["length_tok"].unique().to_list() == [LENGTHS[-1]]


def test_a_task_without_signal_anywhere_is_not_fitted() -> None:
    def silent(model: str, task: str, length: int, method: str, sparsity: float) -> float:
        return 0.0 if task == "u" else truth(model, task, length, method, sparsity)

    scores = decode_scores(silent, SIZES, ("t", "u"), LENGTHS[:2], n=60)
    terms = scaling_table(accuracy_of(scores), models(), 400)["term"].to_pylist()
    assert "task t" in terms and "task u" not in terms


def test_points_are_those_of_the_fits(accuracy: pa.Table, scaling: pl.DataFrame) -> None:
    table = scaling_points_table(accuracy, models())
    assert table.schema.equals(SCALING_POINTS, check_metadata=True)
    points = pl.DataFrame(pl.from_arrow(table))
    for (split,), group in points.group_by("split"):
        line = scaling.filter(pl.col("split") == split).row(0, named=True)
        out = group.filter("held_out")
        assert out.height == line["n_held_out"]
        seen = group.filter(~pl.col("held_out"))
        assert np.sqrt(((seen["observed"] - seen["predicted"]) ** 2).mean()) == pytest.approx(line["error"])
    longest = points.filter((pl.col("split") == "longest length") & pl.col("held_out"))
    assert longest["length_tok"].unique().to_list() == [8192]


def test_one_model_and_two_lengths_have_no_slope_of_size_and_nothing_held_out() -> None:
    scores = decode_scores(truth, ("m2",), ("t",), (1024, 2048), n=60)
    table = pl.DataFrame(pl.from_arrow(scaling_table(accuracy_of(scores), models(), 400)))
    assert set(table["split"]) == {"nothing"}
    size = table.filter(pl.col("term") == "log2 size")
    assert size["coefficient"].to_list() == [None]
    assert table.filter(pl.col("term") == "log2 length")["coefficient"].null_count() == 0


@pytest.mark.parametrize(
    ("values", "n", "noise"),
    [
        ((0.4, 0.6), 50, 0.1 / 7),  # graded: 0.1 around the mean, where right or wrong spreads by 0.5
        ((0.0, 1.0), 50, 0.5 / 7),
        ((0.9, 0.9), 1, 0.3),  # the spread is not known: that of right-or-wrong scores, the most there can be
    ],
)
def test_noise_is_that_of_the_observed_scores(values: tuple[float, float], n: int, noise: float) -> None:
    scores = pl.DataFrame(pl.from_arrow(decode_scores(truth, SIZES, ("t",), LENGTHS[:1], sparsities=(0.5,), n=n)))
    graded = scores.with_columns(score=pl.when(pl.col("sample") % 2 == 0).then(values[0]).otherwise(values[1]))
    table = scaling_table(accuracy_of(graded.to_arrow().cast(SCORES)), models(), 400)
    found = pl.DataFrame(pl.from_arrow(table)).filter(pl.col("split") == "largest size")["noise"]
    assert found.to_numpy() == pytest.approx(noise)


def test_a_fit_has_no_slope_on_what_only_held_out_cells_differ_in(accuracy: pa.Table) -> None:
    lengths = pl.when(pl.col("model") == "m8").then(pl.lit([1024, 8192])).otherwise(pl.lit([1024]))
    frame = pl.DataFrame(pl.from_arrow(accuracy)).filter(pl.col("length_tok").is_in(lengths))
    table = pl.DataFrame(pl.from_arrow(scaling_table(frame.to_arrow().cast(accuracy.schema), models(), 200)))
    slopes = table.filter(pl.col("term") == "log2 length")
    known = dict(slopes.select("split", pl.col("coefficient").is_not_null()).iter_rows())
    assert known == {"nothing": True, "largest size": False}
    assert slopes.filter(pl.col("split") == "largest size")["n_held_out"].to_list() == [2 * 2 * 4]


def test_cells_that_are_always_right_stay_finite() -> None:
    terms = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
    beta = fit(terms, np.ones((1, 3)), np.full(3, 50.0), np.zeros(3))
    assert np.isfinite(beta).all()
    assert (predict(terms, beta, np.zeros(3)) > 0.97).all()


def test_fit_agrees_with_the_closed_form_of_two_groups() -> None:
    # One intercept each: the fit is the log-odds above chance, the weak prior aside.
    rate, chance = np.array([[0.7, 0.4]]), np.array([0.25, 0.0])
    beta = fit(np.eye(2), rate, np.full(2, 1e5), chance)
    share = (rate[0] - chance) / (1 - chance)
    assert beta[0] == pytest.approx(np.log(share / (1 - share)), abs=1e-3)


def test_slopes_are_covered_as_often_as_promised() -> None:
    """Resampled fits of binomial cells: the interval holds the true slope 93 to 97 times in 100."""
    rng = np.random.default_rng(0)
    rounds, n, draws = ROUNDS // 4, 40, 300
    x = np.tile(np.arange(6.0) - 2.5, 2)
    terms, chance = np.column_stack([x, np.ones(12)]), np.zeros(12)
    right = rng.binomial(n, expit(0.4 + 0.5 * x), (rounds, 12)) / n
    hits = []
    for seen in right:
        again = rng.binomial(n, seen, (draws, 12)) / n  # samples drawn with replacement, right or wrong
        slope = fit(terms, again, np.full(12, float(n)), chance)[:, 0]
        low, high = np.quantile(slope, [0.025, 0.975])
        hits.append(low <= 0.5 <= high)
    assert covers(np.mean(hits), rounds)


def test_a_level_with_tasks_of_its_own_is_not_foretold(accuracy: pa.Table) -> None:
    frame = pl.DataFrame(pl.from_arrow(accuracy))
    apart = frame.filter((pl.col("model") == "m8") == (pl.col("task") == "u"))
    table = pl.DataFrame(pl.from_arrow(scaling_table(apart.to_arrow().cast(accuracy.schema), models(), 200)))
    assert set(table["split"]) == {"nothing", "longest length"}
    assert not table["naive_error"].is_nan().any()
