from __future__ import annotations

import re

import polars as pl
import pytest

from sparsebench.report.findings import Findings, doubts, findings
from tests.stats.synthetic import KEPT, SPARSITIES, TASKS, accuracy_of, frontier_of, scores_table

FIGURE = re.compile(r'<a class="n" href="#f(\d+)">([^<]*)</a>')


def tables(scores: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    accuracy = accuracy_of(scores.to_arrow())
    return pl.DataFrame(pl.from_arrow(accuracy)), pl.DataFrame(pl.from_arrow(frontier_of(accuracy)))


@pytest.fixture(scope="module")
def scores() -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(scores_table(250)))


@pytest.fixture(scope="module")
def frontier(scores: pl.DataFrame) -> pl.DataFrame:
    return tables(scores)[1]


@pytest.fixture(scope="module")
def said(frontier: pl.DataFrame) -> list[Findings]:
    return findings(frontier)


def sentence(said: list[Findings], phase: str, start: str) -> str:
    group = next(g for g in said if g.phase == phase and g.length_tok == 1024)
    return next(re.sub(r"<[^>]+>", "", s) for s in group.sentences if start in re.sub(r"<[^>]+>", "", s))


def test_every_figure_is_the_one_of_the_row_it_links_to(said: list[Findings], frontier: pl.DataFrame) -> None:
    figures = [found for group in said for s in group.sentences for found in FIGURE.findall(s)]
    assert len(figures) > 40
    for row, text in figures:
        line = frontier.row(int(row), named=True)
        known = {
            f"{100 * line['kept']:.1f} % [{100 * line['kept_low']:.1f}, {100 * line['kept_high']:.1f}]",
            f"{line['accuracy']:.2f} [{line['accuracy_low']:.2f}, {line['accuracy_high']:.2f}]",
            f"{line['sparsity']:g}",
            f"{line['n']:,}",
        }
        assert text in known


@pytest.mark.parametrize(
    ("phase", "best", "worst"), [("prefill", "vertical_slash", "block_sparse"), ("decode", "quest", "snapkv")]
)
def test_best_and_worst_are_the_true_ones(said: list[Findings], phase: str, best: str, worst: str) -> None:
    text = sentence(said, phase, "keeps most of dense")
    assert re.match(rf"At sparsity 0.95 \(2 tasks, n = 500\), {best} keeps most .* and {worst} least", text)
    assert "intervals do not overlap" in text


def test_tolerance_is_the_true_one_with_enough_samples(said: list[Findings]) -> None:
    # Truth: quest keeps 1.0, 1.0, 0.97, 0.9; ada_snapkv 0.98 at 0.5 and 0.9 at 0.8.
    assert KEPT["decode"]["quest"] == (1.0, 1.0, 0.97, 0.9) and SPARSITIES == (0.5, 0.8, 0.9, 0.95)
    by_mean = sentence(said, "decode", "by the mean alone")
    assert "quest 0.9" in by_mean
    assert "ada_snapkv 0.5" in by_mean
    assert re.search(r"quest 0\.[89]", sentence(said, "decode", "by the lower end"))


def test_no_method_is_shown_to_keep_enough_by_few_samples() -> None:
    few = findings(tables(pl.DataFrame(pl.from_arrow(scores_table(10))))[1])
    assert "quest none" in sentence(few, "decode", "by the lower end")
    # Ten pairs without a loss bound it by Wilson's 0.278 of the scores; two tasks together by that over root two.
    words = sentence(few, "decode", "With n = 20")
    frontier = tables(pl.DataFrame(pl.from_arrow(scores_table(10))))[1]
    dense = frontier.filter((pl.col("method") == "dense") & (pl.col("length_tok") == 1024))["accuracy"][0]
    assert f"{100 * (1 - 0.27754 / 2**0.5 / dense):.1f} %" in words


def test_methods_that_cannot_be_told_apart_are_not_ranked() -> None:
    few = pl.DataFrame(pl.from_arrow(scores_table(12))).filter(~pl.col("decode").is_in(["ada_snapkv", "snapkv"]))
    twin = few.filter(pl.col("decode") == "quest").with_columns(decode=pl.lit("twin"))
    twin = twin.with_columns(score=pl.when(pl.col("sample") == 0).then(1 - pl.col("score")).otherwise("score"))
    text = sentence(findings(tables(pl.concat([few, twin]))[1]), "decode", "At sparsity 0.95")
    assert "this is no ranking" in text or "all keep" in text


def test_tasks_without_signal_are_named(scores: pl.DataFrame) -> None:
    words = [re.sub(r"<[^>]+>", "", d) for d in doubts(tables(scores)[0])]
    silent = [w for w in words if w.startswith("No signal")]
    assert len(silent) == 2
    assert all("vt" in w and "n = 250" in w for w in silent)
    assert set(TASKS) == {"niah_hex", "niah_prose", "vt"}


def test_missing_and_few_samples_are_told() -> None:
    frame = pl.DataFrame(pl.from_arrow(scores_table(10)))
    gone = (pl.col("decode") == "quest") & (pl.col("decode_sparsity") == 0.9) & (pl.col("sample") > 3)
    words = " ".join(re.sub(r"<[^>]+>", "", d) for d in doubts(tables(frame.filter(~gone))[0]))
    assert "lack samples" in words
    assert "4 to 10 samples" in words


def test_overspent_budget_is_told() -> None:
    frame = pl.DataFrame(pl.from_arrow(scores_table(10)))
    greedy = (pl.col("prefill") == "flexprefill") & (pl.col("prefill_sparsity") == 0.9)
    frame = frame.with_columns(prefill_density=pl.when(greedy).then(0.3).otherwise("prefill_density"))
    words = " ".join(re.sub(r"<[^>]+>", "", d) for d in doubts(tables(frame)[0]))
    assert "flexprefill at 0.9 in prefill spends 30.0 % where 10.0 % was asked for" in words


def test_nothing_to_find_without_signal(scores: pl.DataFrame) -> None:
    assert findings(tables(scores.filter(pl.col("task") == "vt"))[1]) == []
