from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from sparsebench.cli import main
from sparsebench.errors import UserError
from sparsebench.stats.effects import effects_table
from sparsebench.stats.iso_cost import iso_cost_table
from sparsebench.stats.query import Bounds, best, between, compare, fastest, find
from sparsebench.tables import MEASUREMENTS, write_table
from tests.stats.cells import scores_of_tasks
from tests.stats.synthetic import accuracy_of, frontier_of, models_table, scores_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables")
    accuracy = accuracy_of(scores_table(60))
    write_table(accuracy, path / "accuracy.arrow")
    write_table(frontier_of(accuracy), path / "frontier.arrow")
    write_table(effects_table(accuracy), path / "effects.arrow")
    write_table(iso_cost_table(accuracy, models_table("tiny-135m"), resamples=300), path / "iso_cost.arrow")
    return path


def measurements(model: str = "tiny-135m", length: int = 2048, **times: float) -> pa.Table:
    """Decode steps of a whole model at sparsity 0.9."""
    example = {pa.string(): "", pa.int32(): 1, pa.float64(): 1.0}
    rows = [
        {f.name: example[f.type] for f in MEASUREMENTS}
        | {"kind": "generation", "device": "GPU", "model": model, "phase": "decode", "method": method}
        | {"length_tok": length, "sparsity": 0.9, "time_ms": ms}
        for method, ms in times.items()
    ]
    return pa.Table.from_pylist(rows, schema=MEASUREMENTS)


@pytest.fixture(scope="module")
def accuracy(folder: Path) -> pl.DataFrame:
    return pl.read_ipc(folder / "accuracy.arrow")


@pytest.fixture(scope="module")
def frontier(folder: Path) -> pl.DataFrame:
    return pl.read_ipc(folder / "frontier.arrow")


def test_cheapest_that_keeps_a_share(frontier: pl.DataFrame) -> None:
    found = best(frontier.filter(pl.col("phase") == "decode"), Bounds(keep=0.85))
    # Truth: quest keeps 90 % at 0.95, at the lowest cost of all; snapkv and ada_snapkv about half.
    assert set(found["method"]) == {"quest"}
    assert set(found["sparsity"]) == {0.95}
    assert found["sure"].to_list() == (found["kept_low"] >= 0.85).to_list()


def test_most_accurate_within_a_cost(frontier: pl.DataFrame) -> None:
    found = best(frontier.filter(pl.col("phase") == "prefill"), Bounds(attention=0.12))
    assert set(found["method"]) == {"vertical_slash"}
    assert set(found["sparsity"]) == {0.9}


def test_a_bound_on_accuracy_and_one_on_the_whole_cost(frontier: pl.DataFrame) -> None:
    found = best(frontier.filter(pl.col("phase") == "decode"), Bounds(accuracy=0.7))
    assert set(found["method"]) == {"quest"}
    assert (found["accuracy"] >= 0.7).all()
    assert found["sure"].to_list() == (found["accuracy_low"] >= 0.7).to_list()
    # Weights are most of what a token of this model reads: no decode configuration costs half.
    assert best(frontier.filter(pl.col("phase") == "decode"), Bounds(cost=0.5)).is_empty()
    assert (best(frontier, Bounds(cost=0.9))["cost_share"] <= 0.9).all()


def test_most_accurate_within_a_measured_time(frontier: pl.DataFrame) -> None:
    timed = pl.DataFrame(pl.from_arrow(measurements(quest=3.0, snapkv=2.0, ada_snapkv=2.5)))
    # Truth at 0.9: quest keeps 97 %, ada_snapkv 70 %, snapkv 65 %.
    assert fastest(frontier, timed, 5.0)["method"].to_list() == ["quest"]
    assert fastest(frontier, timed, 2.6)["method"].to_list() == ["ada_snapkv"]
    assert fastest(frontier, timed, 2.6, Bounds(keep=0.9)).is_empty()
    with pytest.raises(UserError, match="latency: 0"):
        fastest(frontier, timed, 0)


@pytest.mark.parametrize(
    ("bound", "column", "step"),
    [
        ("cost", "cost_share", -1e-4),
        ("attention", "attention_share", -1e-4),
        ("keep", "kept", 1e-4),
        ("accuracy", "accuracy", 1e-4),
    ],
)
def test_a_measured_time_is_one_bound_among_others(
    bound: str, column: str, step: float, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(measurements(quest=3.0), tmp_path / "timed.arrow")
    quest = pl.read_ipc(folder / "frontier.arrow").filter(
        pl.col("method") == "quest",
        pl.col("sparsity") == 0.9,
        pl.col("length_tok") == 2048,
        pl.col("phase") == "decode",
    )
    call = ["query", "best", "--latency", "5", "--tables", str(folder), "--measurements", str(tmp_path / "timed.arrow")]
    assert main([*call, f"--{bound}", str(quest[column].item())]) == 0
    assert "quest" in capsys.readouterr().out
    assert main([*call, f"--{bound}", str(quest[column].item() + step)]) == 0
    assert capsys.readouterr().out == "No configuration meets the bounds.\n"
    assert main([*call, f"--{bound}", "1.5"]) == 1
    assert "allowed: above 0 and at most 1" in capsys.readouterr().err


@pytest.mark.parametrize(("big", "small"), [("tu", "t"), ("t", "u")])
def test_a_model_that_lacks_a_task_of_another_is_answered_for(big: str, small: str) -> None:
    scores = scores_of_tasks({"big": big, "small": small})
    frontier = pl.DataFrame(pl.from_arrow(frontier_of(accuracy_of(scores.to_arrow()))))
    found = best(frontier, Bounds(keep=0.9))
    assert found.select("model", "method", "sparsity").rows() == [("big", "quest", 0.9), ("small", "quest", 0.9)]
    timed = pl.DataFrame(pl.from_arrow(measurements("small", 1024, quest=3.0)))
    assert fastest(frontier, timed, 5.0).select("model", "method").rows() == [("small", "quest")]


def test_a_configuration_that_lacks_a_task_of_its_model_is_no_answer() -> None:
    gone = (pl.col("decode") == "quest") & (pl.col("decode_sparsity") == 0.9) & (pl.col("task") == "u")
    scores = scores_of_tasks({"m": "tu"}).filter(~gone)
    frontier = pl.DataFrame(pl.from_arrow(frontier_of(accuracy_of(scores.to_arrow()))))
    assert best(frontier, Bounds(keep=0.9)).select("method", "sparsity").rows() == [("quest", 0.8)]
    timed = pl.DataFrame(pl.from_arrow(measurements("m", 1024, quest=3.0, snapkv=4.0)))
    assert fastest(frontier, timed, 5.0)["method"].to_list() == ["snapkv"]


def test_controls_are_no_answer(frontier: pl.DataFrame) -> None:
    only = frontier.filter(pl.col("control"))
    assert best(only, Bounds(keep=0.01)).is_empty()


@pytest.mark.parametrize("bounds", [{}, {"keep": 0.0}, {"cost": 1.5}])
def test_bounds_that_make_no_sense(frontier: pl.DataFrame, bounds: dict[str, float]) -> None:
    with pytest.raises(UserError):
        best(frontier, Bounds(**bounds))


def test_compare_knows_who_wins_and_who_does_not(accuracy: pl.DataFrame) -> None:
    table = compare(accuracy, "quest@0.95", "snapkv@0.95").filter(pl.col("task") != "vt")
    assert (table["low"] > 0).all()
    assert (table["p_holm"] < 0.01).all()
    assert table["difference"].to_list() == pytest.approx((table["a"] - table["b"]).to_list())
    back = compare(accuracy, "snapkv@0.95", "quest@0.95").filter(pl.col("task") != "vt")
    assert back["difference"].to_list() == pytest.approx((-table["difference"]).to_list())
    same = compare(accuracy, "quest@0.5", "dense")
    assert (same["p"] == 1).all()


def test_two_runs_are_paired_by_sample(
    accuracy: pl.DataFrame, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = between(accuracy, accuracy)
    assert same.height == accuracy.height
    assert (same["difference"] == 0).all() and (same["p_holm"] == 1).all()
    lost = accuracy.with_columns(
        scores=pl.when(pl.col("method") == "quest").then(pl.col("scores") * 0).otherwise(pl.col("scores"))
    )
    found = between(lost, accuracy)
    worse = found.filter(pl.col("p_holm") < 0.05)
    assert worse["method"].unique().to_list() == ["quest"] and (worse["high"] < 0).all()
    with pytest.raises(UserError, match="share no sample"):
        between(accuracy.with_columns(model=pl.lit("other")), accuracy)
    assert main(["query", "runs", str(folder), "--phase", "decode", "--tables", str(folder)]) == 0
    assert capsys.readouterr().out.splitlines()[-2].startswith("0 of ")


def test_names_are_checked(accuracy: pl.DataFrame) -> None:
    assert find(accuracy, "decode:oracle@0.9")["phase"].unique().to_list() == ["decode"]
    with pytest.raises(UserError, match="did you mean 'quest@0\\.9'"):
        find(accuracy, "qest@0.9")
    with pytest.raises(UserError, match=r"decode:oracle@0\.9, prefill:oracle@0\.9"):
        find(accuracy, "oracle@0.9")


def test_at_the_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "best", "--keep", "0.85", "--phase", "decode", "--tables", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in lines[:3]] == ["method", "quest", "quest"]
    assert main(["query", "equal-cost", "--phase", "decode", "--tables", str(folder)]) == 0
    assert "tiny-135m/ada_snapkv@0.9" in capsys.readouterr().out
    assert main(["query", "best", "--latency", "5", "--tables", str(folder)]) == 1
    assert "no measurements; make them with" in capsys.readouterr().err
    write_table(measurements(quest=3.0), folder / "timed.arrow")
    call = ["query", "best", "--latency", "5", "--tables", str(folder)]
    assert main([*call, "--measurements", str(folder / "timed.arrow")]) == 0
    assert "quest" in capsys.readouterr().out
    assert main(["query", "tolerance", "--keep", "0.8", "--tables", str(folder)]) == 0
    assert "quest" in capsys.readouterr().out
    assert main(["query", "effects", "--phase", "prefill", "--length", "1024", "--tables", str(folder)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:-1]]
    assert {row[3] for row in rows} == {"prefill"}
    assert all(row[-1] == "none" for row in rows if row[4] in ("oracle", "random"))
    assert main(["query", "compare", "quest@0.9", "dense", "--length", "1024", "--tables", str(folder)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert main(["query", "best", "--cost", "0.5", "--model", "nobody", "--tables", str(folder)]) == 1
    assert "unknown model 'nobody'" in capsys.readouterr().err
