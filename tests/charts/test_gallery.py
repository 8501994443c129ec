from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
import vl_convert

from sparsebench.charts.data import Tables
from sparsebench.charts.palette import looks
from sparsebench.charts.registry import chart_names, load_chart
from sparsebench.charts.render import render_chart, vegalite_version
from sparsebench.errors import UserError
from sparsebench.tables import write_table
from tests.stats.synthetic import accuracy_of, frontier_of, scores_table


def tables_of(scores: pl.DataFrame) -> Tables:
    accuracy = accuracy_of(scores.to_arrow())
    return Tables(pl.DataFrame(pl.from_arrow(accuracy)), pl.DataFrame(pl.from_arrow(frontier_of(accuracy))))


@pytest.fixture(scope="module")
def scores() -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(scores_table(20)))


@pytest.fixture(scope="module")
def tables(scores: pl.DataFrame) -> Tables:
    return tables_of(scores)


def svg(name: str, tables: Tables) -> str:
    return vl_convert.vegalite_to_svg(load_chart(name).build(tables).to_dict(), vl_version=vegalite_version())


def test_gallery_holds_the_charts_of_the_report() -> None:
    assert {"accuracy_vs_sparsity", "pareto", "gap_to_oracle", "density_check", "tolerance", "kept_by_length"} <= set(
        chart_names()
    )


@pytest.mark.parametrize("name", chart_names())
def test_chart_states_what_it_is(name: str) -> None:
    module = load_chart(name)
    assert name == module.NAME
    assert module.TITLE
    assert re.search(r"\bn\b|[Nn]umbers? of", module.CAPTION), "a caption says where n is told"


@pytest.mark.parametrize("name", chart_names())
def test_method_has_one_colour_in_every_chart(name: str, tables: Tables) -> None:
    table = looks(tables.accuracy["method"])
    text = str(load_chart(name).build(tables).to_dict())
    scales = re.findall(r"'color': \{'field': 'method'.*?'domain': \[(.*?)\], 'range': \[(.*?)\]", text)
    for domain, colours in scales:
        names, shown = (re.findall(r"'([^']*)'", part) for part in (domain, colours))
        assert shown == [table[n].colour for n in names]
    assert len({domain for domain, _ in scales}) <= 1, "scales of different domains are merged and lose their colours"


@pytest.mark.parametrize("name", chart_names())
def test_every_panel_draws_marks(name: str, tables: Tables) -> None:
    drawn = svg(name, tables)
    assert "NaN" not in drawn
    assert drawn.count("<path") > 20


@pytest.mark.parametrize("name", chart_names())
def test_nothing_to_show_is_said(name: str, scores: pl.DataFrame) -> None:
    dense = (pl.col("prefill") == "dense") & (pl.col("decode") == "dense")
    drawn = svg(name, tables_of(scores.filter(dense & (pl.col("task") == "vt"))))
    assert re.search(r">No [^<]*\.<", drawn)


@pytest.mark.parametrize("name", chart_names())
def test_one_phase_one_sparsity_one_sample(name: str, scores: pl.DataFrame) -> None:
    few = scores.filter(
        (pl.col("prefill") == "dense") & pl.col("decode_sparsity").is_in([0.0, 0.9]) & (pl.col("sample") == 0)
    )
    assert "<svg" in svg(name, tables_of(few))


def test_dense_is_black_and_controls_are_dashed() -> None:
    table = looks(["quest", "random", "dense", "oracle", "my_method", "another"])
    assert table["dense"].colour == "#000000"
    assert table["oracle"].dash != (1, 0) != table["random"].dash
    assert all(table[m].dash == (1, 0) for m in ("quest", "my_method", "another", "dense"))
    assert list(table) == ["dense", "quest", "another", "my_method", "oracle", "random"]
    assert len({look.colour for look in table.values()}) == len(table)


def test_axis_is_even_in_the_logarithm_of_the_budget(tables: Tables) -> None:
    axis = re.search(r"labelExpr': \"(.*?)\"", str(load_chart("accuracy_vs_sparsity").build(tables).to_dict()))
    assert axis is not None
    assert axis[1] == "format(1 - datum.value, '.3~f')"


def test_render_writes_three_files_that_need_no_network(tables: Tables, tmp_path: Path) -> None:
    from sparsebench.tables import ACCURACY, FRONTIER

    write_table(tables.accuracy.to_arrow().cast(ACCURACY), tmp_path / "tables" / "accuracy.arrow")
    write_table(tables.frontier.to_arrow().cast(FRONTIER), tmp_path / "tables" / "frontier.arrow")
    render_chart("pareto", tmp_path / "tables", tmp_path / "charts" / "pareto.html")
    made = sorted(p.name for p in (tmp_path / "charts").iterdir())
    assert made == ["pareto.html", "pareto.png", "pareto.svg"]
    page = (tmp_path / "charts" / "pareto.html").read_text()
    assert not re.search(r"<(script|link)[^>]+(src|href)=\"http", page)


def test_unknown_chart_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'pareto'"):
        render_chart("paretto", tmp_path, tmp_path / "x.html")


@pytest.mark.parametrize(
    ("name", "words"), [("accuracy_vs_sparsity", "not run"), ("gap_to_oracle", "not run, or no signal")]
)
def test_panel_of_a_task_that_was_not_run_says_so(name: str, words: str, scores: pl.DataFrame, tables: Tables) -> None:
    some = scores.filter((pl.col("task") != "niah_prose") | (pl.col("length_tok") == 1024))
    assert svg(name, tables_of(some)).count(f">{words}<") == 3 - (name == "gap_to_oracle")  # one per phase drawn
    assert f">{words}<" not in svg(name, tables)
