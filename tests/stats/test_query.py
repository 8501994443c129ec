from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from sparsebench.cli import main
from sparsebench.errors import UserError
from sparsebench.stats.query import best, compare, find
from sparsebench.tables import write_table
from tests.stats.synthetic import accuracy_of, frontier_of, scores_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables")
    accuracy = accuracy_of(scores_table(60))
    write_table(accuracy, path / "accuracy.arrow")
    write_table(frontier_of(accuracy), path / "frontier.arrow")
    return path


@pytest.fixture(scope="module")
def accuracy(folder: Path) -> pl.DataFrame:
    return pl.read_ipc(folder / "accuracy.arrow")


@pytest.fixture(scope="module")
def frontier(folder: Path) -> pl.DataFrame:
    return pl.read_ipc(folder / "frontier.arrow")


def test_cheapest_that_keeps_a_share(frontier: pl.DataFrame) -> None:
    found = best(frontier.filter(pl.col("phase") == "decode"), keep=0.85)
    # Truth: quest keeps 90 % at 0.95, at the lowest cost of all; snapkv and ada_snapkv about half.
    assert set(found["method"]) == {"quest"}
    assert set(found["sparsity"]) == {0.95}
    assert found["sure"].to_list() == (found["kept_low"] >= 0.85).to_list()


def test_most_accurate_within_a_cost(frontier: pl.DataFrame) -> None:
    found = best(frontier.filter(pl.col("phase") == "prefill"), cost=0.12)
    assert set(found["method"]) == {"vertical_slash"}
    assert set(found["sparsity"]) == {0.9}


def test_controls_are_no_answer(frontier: pl.DataFrame) -> None:
    only = frontier.filter(pl.col("control"))
    assert best(only, keep=0.01).is_empty()


@pytest.mark.parametrize("bounds", [{}, {"keep": 0.0}, {"cost": 1.5}])
def test_bounds_that_make_no_sense(frontier: pl.DataFrame, bounds: dict[str, float]) -> None:
    with pytest.raises(UserError):
        best(frontier, **bounds)


def test_compare_knows_who_wins_and_who_does_not(accuracy: pl.DataFrame) -> None:
    table = compare(accuracy, "quest@0.95", "snapkv@0.95").filter(pl.col("task") != "vt")
    assert (table["low"] > 0).all()
    assert (table["p_holm"] < 0.01).all()
    assert table["difference"].to_list() == pytest.approx((table["a"] - table["b"]).to_list())
    back = compare(accuracy, "snapkv@0.95", "quest@0.95").filter(pl.col("task") != "vt")
    assert back["difference"].to_list() == pytest.approx((-table["difference"]).to_list())
    same = compare(accuracy, "quest@0.5", "dense")
    assert (same["p"] == 1).all()


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
