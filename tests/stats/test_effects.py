from __future__ import annotations

from itertools import product

import numpy as np
import polars as pl
import pytest
from scipy import stats

from sparsebench.stats.effects import effect_size, effects_table, holm, permutation_p
from sparsebench.tables import EFFECTS
from tests.stats.synthetic import accuracy_of, scores_table


@pytest.fixture(scope="module")
def effects() -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(effects_table(accuracy_of(scores_table(40)))))


def test_holm_by_hand() -> None:
    # Sorted: 0.005 * 4, 0.01 * 3, 0.03 * 2, 0.04 * 1, then never below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0]


def test_right_or_wrong_scores_get_the_exact_sign_test() -> None:
    six_lost = np.array([-1.0] * 6 + [0.0] * 30)
    two_of_ten_won = np.array([-1.0] * 8 + [1.0] * 2)
    # 2 / 2^6, and 2 * (1 + 10 + 45) / 2^10
    assert permutation_p([six_lost, two_of_ten_won]) == pytest.approx([0.03125, 0.109375])


def test_uneven_scores_agree_with_all_sign_patterns() -> None:
    d = np.array([0.3, -0.1, 0.25, 0.4, -0.05, 0.15, 0.2])
    sums = np.array([np.dot(signs, d) for signs in product((-1, 1), repeat=len(d))])
    assert permutation_p([d])[0] == pytest.approx((np.abs(sums) >= abs(d.sum()) - 1e-12).mean())


def test_listed_patterns_agree_with_scipy() -> None:
    gaps = list(np.random.default_rng(1).normal(0.1, 0.3, (6, 9)))
    theirs = stats.permutation_test((np.array(gaps),), lambda x, axis: x.mean(axis), permutation_type="samples",
                                    vectorized=True, n_resamples=np.inf, axis=-1).pvalue  # fmt: skip
    assert permutation_p(gaps) == pytest.approx(theirs)


def test_drawn_patterns_agree_with_listed_ones() -> None:
    gaps = list(np.random.default_rng(2).normal(0.1, 0.3, (8, 17)))
    listed = permutation_p(gaps, permutations=2**17)
    drawn = permutation_p(gaps, permutations=2**15)
    assert (drawn != listed).any()
    # Five standard errors of a share among 2^15; drawing stops earlier only where p is large.
    assert drawn == pytest.approx(listed, abs=5 * 0.5 / 2**7.5)


def test_p_is_fine_enough_for_the_family_that_it_is_adjusted_over() -> None:
    lost = -np.linspace(0.1, 1, 60)
    alone, of_many = permutation_p([lost])[0], permutation_p([lost], family=1080)[0]
    # All 60 are lost: only the floor of what is drawn keeps p from 2 / 2^60.
    assert (alone, of_many) == pytest.approx((1 / 10_000, 1 / 216_001))
    assert alone * 1080 > 0.05 > of_many * 1080


def test_many_uneven_scores_agree_with_the_t_test() -> None:
    d = np.random.default_rng(3).normal(0.1, 0.4, 60)
    assert permutation_p([d])[0] == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.02)


def test_nothing_to_see_in_ties_and_single_pairs() -> None:
    assert permutation_p([np.zeros(20), np.array([-1.0]), np.array([0.3])]).tolist() == [1.0, 1.0, 1.0]


def test_effect_size_is_unknown_where_differences_do_not_vary() -> None:
    assert effect_size([0.0, 0.0]) is None
    assert effect_size([-1.0]) is None
    # mean -0.5, standard deviation sqrt(1/3)
    assert effect_size([-1.0, -1.0, 0.0, 0.0]) == pytest.approx(-0.5 / np.sqrt(1 / 3))


def test_table_finds_the_known_losers_and_spares_the_rest(effects: pl.DataFrame) -> None:
    assert effects_table(accuracy_of(scores_table(4))).schema.equals(EFFECTS, check_metadata=True)
    loser = effects.filter(pl.col("method") == "block_sparse", pl.col("sparsity") == 0.95, pl.col("task") != "vt")
    assert (loser["p_holm"] < 0.001).all()
    assert (loser["effect_size"] < -0.8).all()
    same = effects.filter(pl.col("method") == "quest", pl.col("sparsity") == 0.5)
    assert same["p"].to_list() == [1.0] * same.height
    # The synthetic sparse rows are right only where dense is.
    assert (effects["won"] == 0).all()
    assert effects["lost"].to_list() == pytest.approx((-effects["difference"]).to_list())


def test_losers_of_graded_scores_are_found_in_a_large_family() -> None:
    frame = pl.DataFrame(pl.from_arrow(scores_table(40)))
    graded = frame.with_columns(score=pl.col("score") * (1 - (pl.col("sample") % 7) / 50))
    made = pl.DataFrame(pl.from_arrow(effects_table(accuracy_of(graded.to_arrow()), permutations=199)))
    family = made.filter(pl.col("p_holm").is_not_null())
    # With the 199 patterns asked for, the least adjusted p would be 104 / 200.
    assert family.height == 104
    loser = family.filter(pl.col("method") == "block_sparse", pl.col("sparsity") == 0.95)
    assert (loser["p_holm"] < 0.05).all()


def test_controls_and_tasks_without_signal_are_outside_of_the_family(effects: pl.DataFrame) -> None:
    outside = effects.filter(pl.col("control") | (pl.col("task") == "vt"))
    assert outside["p_holm"].null_count() == outside.height
    inside = effects.filter(~pl.col("control"), pl.col("task") != "vt")
    assert inside["p_holm"].null_count() == 0
    assert inside["p_holm"].to_list() == pytest.approx(holm(inside["p"].to_numpy()).tolist())


def test_no_dense_no_line() -> None:
    frame = pl.DataFrame(pl.from_arrow(scores_table(4)))
    sparse = frame.filter((pl.col("prefill") != "dense") | (pl.col("decode") != "dense"))
    assert effects_table(accuracy_of(sparse.to_arrow())).num_rows == 0
