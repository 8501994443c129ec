from __future__ import annotations

import polars as pl
import pyarrow as pa
import pytest

from sparsebench.stats.iso_cost import iso_cost_table
from sparsebench.tables import ISO_COST
from tests.stats.cells import decode_scores, scores_of_tasks
from tests.stats.synthetic import accuracy_of, models_table

# At a density of 0.1 the large model reads what the small one reads when dense: see `_priced`.
BY_HAND = {("small", 0.0): 100.0, ("small", 0.5): 50.0, ("big", 0.0): 1000.0, ("big", 0.5): 500.0, ("big", 0.9): 105.0}


def _priced(accuracy: pa.Table) -> pa.Table:
    """The accuracy table with costs set by hand, so that it is known who equals whom."""
    frame = pl.DataFrame(pl.from_arrow(accuracy))
    cost = [BY_HAND[row["model"], row["sparsity"]] for row in frame.to_dicts()]
    columns = ["decode_bytes", "answer_flops", "cost", "kv_bytes", "prefill_flops", "attention_flops"]
    return frame.with_columns(pl.Series(name, cost) for name in columns).to_arrow()


def _truth(model: str, task: str, length: int, method: str, sparsity: float) -> float:
    return {("small", 0.0): 0.5, ("small", 0.5): 0.45, ("big", 0.9): 0.8}.get((model, sparsity), 0.9)


@pytest.fixture(scope="module")
def accuracy() -> pa.Table:
    scores = decode_scores(_truth, ("small", "big"), ("t", "u"), methods=("quest",), sparsities=(0.5, 0.9), n=80)
    frame = pl.DataFrame(pl.from_arrow(scores))
    frame = frame.filter((pl.col("model") == "big") | (pl.col("decode_sparsity") < 0.9))
    return _priced(accuracy_of(frame.to_arrow().cast(scores.schema)))


def test_sparse_large_beats_dense_small_at_equal_cost(accuracy: pa.Table) -> None:
    table = iso_cost_table(accuracy, models_table("small", "big", tokenizer="small"), 0.1, 500, 999)
    assert table.schema.equals(ISO_COST, check_metadata=True)
    # 105 against 100 is within a tenth; 500 and 1,000 are near nothing; the small one at 0.5 costs half.
    (line,) = table.to_pylist()
    assert (line["kind"], line["model_a"], line["sparsity_a"]) == ("sizes", "big", 0.9)
    assert (line["model_b"], line["method_b"]) == ("small", "dense")
    assert line["tasks"] == "t, u" and line["n"] == 160 and line["paired"]
    assert line["difference"] == pytest.approx(line["accuracy_a"] - line["accuracy_b"])
    assert line["difference_low"] < 0.3 < line["difference_high"]
    assert line["winner"] == "a" and line["p_holm"] == line["p"] < 0.01


def test_other_samples_are_compared_unpaired(accuracy: pa.Table) -> None:
    (line,) = iso_cost_table(accuracy, models_table("small", "big"), 0.1, 500, 999).to_pylist()
    assert not line["paired"] and line["p"] is None and line["p_holm"] is None
    (paired,) = iso_cost_table(accuracy, models_table("small", "big", tokenizer="small"), 0.1, 500, 999).to_pylist()
    wide, narrow = (x["difference_high"] - x["difference_low"] for x in (line, paired))
    assert wide > narrow  # the synthetic samples are as hard for both: pairing knows it
    assert line["difference_low"] < 0.3 < line["difference_high"] and line["winner"] == "a"


def test_methods_of_one_model_meet_at_equal_attention_cost() -> None:
    def truth(model: str, task: str, length: int, method: str, sparsity: float) -> float:
        return 0.95 if method in ("dense", "snapkv") else 0.7

    scores = decode_scores(truth, methods=("quest", "snapkv", "random"), sparsities=(0.5, 0.9), lengths=(8192,), n=200)
    table = pl.DataFrame(pl.from_arrow(iso_cost_table(accuracy_of(scores), models_table("m"), 0.3, 500, 999)))
    assert set(table["kind"]) == {"methods"}
    # Controls take no part. Quest's bounds cost a sixteenth of the cache: 0.56 is near 0.5, 0.16 far from 0.1.
    assert table.select("method_a", "sparsity_a", "method_b", "sparsity_b").rows() == [("quest", 0.5, "snapkv", 0.5)]
    assert table["winner"].to_list() == ["b"]
    assert table["cost_a"][0] > table["cost_b"][0]


@pytest.mark.parametrize(("big", "small"), [("tu", "t"), ("t", "u")])
def test_methods_of_a_model_that_lacks_a_task_of_another_meet(big: str, small: str) -> None:
    given = {"big": big, "small": small}
    accuracy = accuracy_of(scores_of_tasks(given).to_arrow())
    table = pl.DataFrame(pl.from_arrow(iso_cost_table(accuracy, models_table(*given), 0.4, 500, 999)))
    assert set(table["kind"]) == {"methods"}  # sizes have no tasks in common that are all there are
    assert dict(table.select("model_a", "tasks").rows()) == {m: ", ".join(tasks) for m, tasks in given.items()}
    assert set(table["winner"]) == {"a"}


def test_equal_answers_are_undecided() -> None:
    scores = decode_scores(lambda *_: 0.9, methods=("ada_snapkv", "snapkv"), sparsities=(0.5,), n=50)
    (line,) = iso_cost_table(accuracy_of(scores), models_table("m"), 0.1, 500, 999).to_pylist()
    assert (line["winner"], line["difference"], line["p"]) == ("undecided", 0.0, 1.0)


def test_nothing_to_compare() -> None:
    alone = decode_scores(lambda *_: 0.9, sparsities=(0.5,), n=20)
    assert iso_cost_table(accuracy_of(alone), models_table("m")).num_rows == 0
