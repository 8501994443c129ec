from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from sparsebench.stats.frontier import frontier_table, pareto_members
from sparsebench.tables import FRONTIER
from tests.stats.cells import decode_scores, scores_of_tasks
from tests.stats.synthetic import LENGTHS, accuracy_of, frontier_of, models_table, scores_table


@pytest.fixture(scope="module")
def accuracy() -> pa.Table:
    return accuracy_of(scores_table(60))


@pytest.fixture(scope="module")
def frontier(accuracy: pa.Table) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(frontier_of(accuracy)))


def test_pareto_members_by_hand() -> None:
    cost = np.array([1.0, 0.5, 0.5, 0.2, 0.1, 0.1])
    accuracy = np.array([0.9, 0.9, 0.8, 0.85, 0.3, 0.3])
    # 1.0/0.9 loses to 0.5/0.9, 0.5/0.8 to 0.2/0.85; the two cheapest tie and both stay.
    assert pareto_members(cost, accuracy).tolist() == [False, True, False, True, True, True]


def test_schema(accuracy: pa.Table) -> None:
    assert frontier_of(accuracy).schema.equals(FRONTIER, check_metadata=True)


def test_controls_and_incomplete_lines_are_never_members(frontier: pl.DataFrame) -> None:
    assert not frontier.filter("control")["member"].any()
    assert frontier.filter(pl.col("control"))["member_probability"].sum() == 0


def test_known_winner_is_a_member(frontier: pl.DataFrame) -> None:
    quest = frontier.filter((pl.col("method") == "quest") & (pl.col("sparsity") == 0.95))
    assert quest["member"].all()
    assert (quest["member_probability"] > 0.95).all()
    loser = frontier.filter((pl.col("method") == "block_sparse") & (pl.col("sparsity") == 0.5))
    assert not loser["member"].any()
    assert (loser["member_probability"] < 0.2).all()


def test_members_beat_all_others(frontier: pl.DataFrame) -> None:
    for _, group in frontier.filter(~pl.col("control")).group_by("length_tok", "phase"):
        members = group.filter("member").sort("cost")
        assert members["accuracy"].is_sorted()
        for line in group.filter(~pl.col("member")).iter_rows(named=True):
            assert ((members["cost"] <= line["cost"]) & (members["accuracy"] >= line["accuracy"])).any()


def test_only_tasks_with_signal_are_averaged(frontier: pl.DataFrame) -> None:
    assert set(frontier["tasks"]) == {"niah_hex, niah_prose"}
    assert set(frontier["n_tasks"]) == {2}
    assert set(frontier["n"]) == {120}


def test_dense_stands_in_every_phase(frontier: pl.DataFrame) -> None:
    dense = frontier.filter(pl.col("method") == "dense")
    assert dense.height == 3 * len(LENGTHS)
    assert (dense["attention_share"] == 1).all()
    assert (dense["cost_share"] == 1).all()


def test_average_and_interval(accuracy: pa.Table, frontier: pl.DataFrame) -> None:
    lines = pl.DataFrame(pl.from_arrow(accuracy)).filter(
        pl.col("signal") & (pl.col("method") == "snapkv") & (pl.col("sparsity") == 0.9) & (pl.col("length_tok") == 1024)
    )
    line = frontier.filter(
        (pl.col("method") == "snapkv") & (pl.col("sparsity") == 0.9) & (pl.col("length_tok") == 1024)
    ).row(0, named=True)
    assert line["accuracy"] == pytest.approx(lines["accuracy"].mean())
    below = (lines["accuracy"] - lines["accuracy_low"]).to_numpy()
    assert line["accuracy_low"] == pytest.approx(line["accuracy"] - np.sqrt((below**2).sum()) / 2)


def test_a_configuration_that_lacks_a_task_is_shown_but_no_member() -> None:
    frame = pl.DataFrame(pl.from_arrow(scores_table(30)))
    frame = frame.filter((pl.col("decode") != "quest") | (pl.col("task") != "niah_prose"))
    table = frontier_of(accuracy_of(frame.to_arrow()))
    quest = pl.DataFrame(pl.from_arrow(table)).filter(pl.col("method") == "quest")
    assert quest.height
    assert not quest["complete"].any()
    assert not quest["member"].any()


@pytest.mark.parametrize(("big", "small"), [("tu", "t"), ("t", "u")])
def test_tasks_that_only_another_model_has_do_not_count_within_a_model(big: str, small: str) -> None:
    scores = scores_of_tasks({"big": big, "small": small})
    table = pl.DataFrame(pl.from_arrow(frontier_of(accuracy_of(scores.to_arrow()))))
    assert table["model_complete"].all()
    assert table.filter("complete")["model"].unique().to_list() == (["big"] if big == "tu" else [])
    assert set(table.filter("model_member")["model"]) == {"big", "small"}
    assert table.filter("member", ~pl.col("complete")).is_empty()


def test_lines_that_each_lack_another_task_of_their_model_are_not_compared() -> None:
    lacks = pl.struct("decode", "task").is_in([{"decode": "quest", "task": "t"}, {"decode": "snapkv", "task": "u"}])
    scores = scores_of_tasks({"m": "tu"}).filter(~lacks)
    table = pl.DataFrame(pl.from_arrow(frontier_of(accuracy_of(scores.to_arrow()))))
    assert table.filter("model_complete")["method"].to_list() == ["dense"]


def test_no_signal_anywhere_gives_an_empty_table() -> None:
    frame = pl.DataFrame(pl.from_arrow(scores_table(20))).filter(pl.col("task") == "vt")
    assert frontier_of(accuracy_of(frame.to_arrow())).num_rows == 0


def two_sizes(tokenizer: str | None, n: int = 120) -> pl.DataFrame:
    """A small model that is right in half of the cases, and a big one that quest at 0.9 brings below it."""

    def truth(model: str, task: str, length: int, method: str, sparsity: float) -> float:
        if model == "small":
            return 0.02 if task == "hard" else 0.5
        return 0.9 if sparsity < 0.9 else 0.4

    scores = decode_scores(truth, ("small", "big"), ("easy", "hard"), n=n)
    models = models_table("small", "big", tokenizer=tokenizer)
    tokenizers = dict(zip(models["model"].to_pylist(), models["tokenizer"].to_pylist(), strict=True))
    return pl.DataFrame(pl.from_arrow(frontier_table(accuracy_of(scores), tokenizers, 500)))


def test_models_meet_on_one_frontier_over_the_same_tasks() -> None:
    table = two_sizes("small")
    # The small model has no signal on the hard task; it is averaged all the same, as the big one's is.
    assert set(table["tasks"]) == {"easy, hard"}
    by = {(r["model"], r["sparsity"]): r for r in table.to_dicts()}
    assert all(r["cost_share"] == 1 for r in by.values() if r["method"] == "dense")
    # Cheapest of all: a member although the big model is better.
    assert by["small", 0.9]["member"] and by["small", 0.9]["model_member"]
    # The big model at 0.9 is its own cheapest, and beats nothing that costs less.
    assert by["big", 0.9]["model_member"]
    assert by["big", 0.8]["member"] and by["big", 0.8]["member_probability"] > 0.5
    assert not by["big", 0.0]["member"]  # as accurate as at 0.8, and dearer


def test_probabilities_are_shares_of_draws() -> None:
    for column in ("member_probability", "model_member_probability"):
        table = two_sizes(None)
        assert table[column].is_between(0, 1).all()
        assert (table.filter(pl.col(column.removesuffix("_probability")))[column] > 0).all()


def test_cost_of_the_whole_model_by_hand(frontier: pl.DataFrame) -> None:
    line = frontier.filter(
        (pl.col("phase") == "decode") & (pl.col("method") == "snapkv") & (pl.col("sparsity") == 0.8)
    ).row(0, named=True)
    # 134,479,872 weights in 16 bits; 30 layers with K and V of 3 heads of 64 channels, 0.198 of the prompt and a suffix
    # of 10.5 tokens on average.
    prompt = line["length_tok"] - 10
    assert line["cost"] == pytest.approx(2 * 134_479_872 + 30 * 2 * 3 * 64 * 2 * (0.198 * prompt + 10.5))
    assert line["kv_bytes"] == pytest.approx(line["cost"] - 2 * 134_479_872)
