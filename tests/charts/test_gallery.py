from __future__ import annotations

import base64
import gzip
import re
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import vl_convert

from sparsebench.charts.curves import across
from sparsebench.charts.data import Nothing, Tables, load_tables, schema_of, table_names
from sparsebench.charts.gallery.speedup_vs_accuracy import paired
from sparsebench.charts.packed import vegalite_version
from sparsebench.charts.palette import looks
from sparsebench.charts.registry import chart_constant, chart_names, load_chart, spec_of
from sparsebench.charts.render import render_chart
from sparsebench.charts.style import blocks
from sparsebench.errors import UserError
from sparsebench.stats.tolerance import tolerance_table
from sparsebench.tables import write_table
from tests.charts.made import frame, line, tables_of
from tests.stats.synthetic import scores_table


@pytest.fixture(scope="module")
def scores() -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(scores_table(20, models=("tiny-135m", "big-450m"))))


@pytest.fixture(scope="module")
def tables(scores: pl.DataFrame) -> Tables:
    return tables_of(scores)


@pytest.fixture(scope="module")
def silent(scores: pl.DataFrame) -> Tables:
    dense = (pl.col("prefill") == "dense") & (pl.col("decode") == "dense")
    return tables_of(scores.filter(dense & (pl.col("task") == "vt")))


@pytest.fixture(scope="module")
def few(scores: pl.DataFrame) -> Tables:
    one = (pl.col("sample") == 0) & (pl.col("model") == "tiny-135m")
    return tables_of(scores.filter((pl.col("prefill") == "dense") & pl.col("decode_sparsity").is_in([0.0, 0.9]) & one))


@pytest.fixture(scope="module")
def some(scores: pl.DataFrame) -> Tables:
    return tables_of(scores.filter((pl.col("task") != "niah_prose") | (pl.col("length_tok") == 1024)))


def svg(name: str, tables: Tables) -> str:
    return vl_convert.vegalite_to_svg(spec_of(name, tables), vl_version=vegalite_version())


def test_gallery_holds_the_charts_of_the_report() -> None:
    asked = (
        "pareto size_frontier accuracy_vs_sparsity tolerance kept_by_length iso_cost scaling prefill_patterns "
        "adaptivity gap_to_oracle latency speedup_vs_accuracy depth kv_handling density_check cost_check"
    )
    assert set(chart_names()) >= set(asked.split())


@pytest.mark.parametrize("name", chart_names())
def test_chart_states_what_it_is(name: str) -> None:
    module = load_chart(name)
    assert name == module.NAME
    assert module.TITLE
    assert set(module.NEEDS) <= set(table_names())
    assert re.search(r"\bn\b|[Nn]umbers? of", module.CAPTION), "a caption says where n is told"
    assert chart_constant(name, "CAPTION") == module.CAPTION


def test_unchecked_specs_are_those_that_altair_checks(tables: Tables) -> None:
    assert spec_of("depth", tables) == load_chart("depth").build(tables).to_dict()


@pytest.mark.parametrize("name", chart_names())
def test_method_has_one_colour_in_every_chart(name: str, tables: Tables) -> None:
    table = looks(tables.methods)
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
def test_chart_reads_no_table_but_those_it_names(name: str, tables: Tables) -> None:
    blank = {n: getattr(tables, n).clear() for n in ("accuracy", "frontier")}
    made = load_chart(name).build(Tables(**blank | {n: getattr(tables, n) for n in load_chart(name).NEEDS}))
    assert not isinstance(made, Nothing)
    assert made.to_dict()["datasets"]


@pytest.mark.parametrize("name", chart_names())
def test_nothing_to_show_is_said(name: str, silent: Tables) -> None:
    made = load_chart(name).build(silent)
    assert isinstance(made, Nothing)
    assert re.fullmatch(r"No .*\.", made.reason)


@pytest.mark.parametrize("name", chart_names())
def test_one_phase_one_sparsity_one_sample(name: str, few: Tables) -> None:
    made = load_chart(name).build(few)
    if not isinstance(made, Nothing):
        assert "<svg" in vl_convert.vegalite_to_svg(made.to_dict(), vl_version=vegalite_version())


def test_dense_is_black_and_controls_are_dashed() -> None:
    table = looks(["quest", "random", "dense", "oracle", "my_method", "another"])
    assert table["dense"].colour == "#000000"
    assert table["oracle"].dash != (1, 0) != table["random"].dash
    assert all(table[m].dash == (1, 0) for m in ("quest", "my_method", "another", "dense"))
    assert list(table) == ["dense", "quest", "another", "my_method", "oracle", "random"]
    assert len({look.colour for look in table.values()}) == len(table)


def test_no_two_methods_look_the_same() -> None:
    both = [f"vertical_slash@0.{i} + {method}" for method in ("snapkv", "quest") for i in range(10, 50)]
    table = looks(["dense", "quest", "snapkv", "vertical_slash", *both])
    assert len(set(table.values())) == len(table)
    of_both = [table[name] for name in sorted(both)]
    assert len({(look.colour, look.shape) for look in of_both[:64]}) == 64
    assert all(look.dash == (1, 0) for look in of_both[:64])


def test_a_control_in_either_phase_is_drawn_as_one() -> None:
    names = ["vertical_slash@0.8 + random", "oracle@0.5 + quest", "vertical_slash@0.8 + oracle-tok", "randomised"]
    table = looks([*names, "vertical_slash@0.8 + quest", "oracle", "random"])
    assert [table[name] for name in names[:3]] == [table["random"], table["oracle"], table["oracle"]]
    assert table["randomised"] != table["random"]
    assert set(list(table)[:2]) == {"randomised", "vertical_slash@0.8 + quest"}, "controls come last in legends"


def test_axis_is_even_in_the_logarithm_of_the_budget(tables: Tables) -> None:
    axis = re.search(r"labelExpr': \"(.*?)\"", str(load_chart("accuracy_vs_sparsity").build(tables).to_dict()))
    assert axis is not None
    assert axis[1] == "format(1 - datum.value, '.3~f')"


@pytest.fixture
def folder(tables: Tables, tmp_path: Path) -> Path:
    for name in ("accuracy", "frontier"):
        write_table(getattr(tables, name).to_arrow().cast(schema_of(name)), tmp_path / "tables" / f"{name}.arrow")
    return tmp_path / "tables"


def test_render_writes_three_files_that_need_no_network(folder: Path, tmp_path: Path) -> None:
    render_chart("pareto", folder, tmp_path / "charts" / "pareto.html")
    made = sorted(p.name for p in (tmp_path / "charts").iterdir())
    assert made == ["pareto.html", "pareto.png", "pareto.svg"]
    page = (tmp_path / "charts" / "pareto.html").read_text()
    assert not re.search(r"<(script|link)[^>]+(src|href)=\"http", page)
    packed = dict(re.findall(r'data-kind="(\w+)" data-place="\w*">([^<]+)<', page))
    assert b'"$schema"' in gzip.decompress(base64.b64decode(packed["chart"]))
    assert b"window.vegaEmbed" in gzip.decompress(base64.b64decode(packed["code"]))
    assert len(page) < 2**19, "the library is compressed"


def test_chart_without_its_table_says_so_in_all_three_files(folder: Path, tmp_path: Path) -> None:
    render_chart("iso_cost", folder, tmp_path / "iso_cost.html")
    reason = "No two models of different size met at equal cost"
    assert reason in (tmp_path / "iso_cost.html").read_text()
    assert reason in (tmp_path / "iso_cost.svg").read_text()
    assert (tmp_path / "iso_cost.png").stat().st_size > 1000


def test_measurements_of_elsewhere_follow_the_own_ones(folder: Path, tables: Tables, tmp_path: Path) -> None:
    write_table(tables.measurements.head(2).to_arrow().cast(schema_of("measurements")), folder / "measurements.arrow")
    stranger = tables.measurements.tail(1).with_columns(method=pl.lit("not_run"))
    pl.concat([tables.measurements.tail(3), stranger]).write_csv(tmp_path / "h200.csv")
    both = load_tables(folder, [tmp_path / "h200.csv"]).measurements
    assert both.equals(pl.concat([tables.measurements.head(2), tables.measurements.tail(3)]))
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"bad\.csv: not a table of measurements"):
        load_tables(folder, [tmp_path / "bad.csv"])


def test_committed_measurements_are_readable(folder: Path) -> None:
    files = sorted((Path(__file__).parents[2] / "resources" / "measurements").glob("*.csv"))
    found = load_tables(folder, files)
    # Whole models that the run does not know cannot be priced.
    kinds = {kind: part.height for (kind,), part in found.measurements.partition_by("kind", as_dict=True).items()}
    assert found.cost_check.height == kinds["attention"] > 50 and kinds["generation"] > 5
    # A chart has read for it what it needs, and that as it would be among all.
    for needs in (("measurements",), ("cost_check",), ("accuracy",)):
        some = load_tables(folder, files, needs)
        for name in ("measurements", "cost_check"):
            made = getattr(some, name)
            assert made.equals(getattr(found, name)) if name in needs else made.is_empty()


def test_speed_and_accuracy_meet_at_the_same_model_and_length_where_they_can(tables: Tables) -> None:
    timed = [
        line(
            "measurements",
            kind="generation",
            device="d",
            model=model,
            phase="decode",
            method="quest",
            length_tok=length,
            sparsity=0.9,
            speedup=2.0,
        )
        for model, length in (("tiny-135m", 1024), ("other", 131072))
    ]
    exact = paired(tables.frontier, frame("measurements", timed)).filter(pl.col("model") == "tiny-135m")
    assert exact.select("timed_model", "timed_tok", "length_tok").rows() == [("tiny-135m", 1024, 1024)]
    far = paired(tables.frontier, frame("measurements", timed[1:]))
    far = far.filter(pl.col("model") == "tiny-135m")
    assert far.select("timed_model", "timed_tok", "length_tok").rows() == [("other", 131072, 2048)]


def test_a_match_of_one_model_and_phase_leaves_the_others_their_panels(tables: Tables) -> None:
    timed = [
        line("measurements", kind="generation", device="d", model=model, phase=phase, method=method,
             length_tok=length, sparsity=0.9, speedup=2.0)
        for model, phase, method, length in (
            ("tiny-135m", "decode", "quest", 1024),
            ("elsewhere", "decode", "quest", 131072),
            ("elsewhere", "prefill", "block_sparse", 131072),
        )
    ]  # fmt: skip
    told = paired(tables.frontier, frame("measurements", timed)).sort("model", "phase", "timed_model")
    assert told.select("model", "phase", "timed_model", "timed_tok", "length_tok").rows() == [
        ("big-450m", "decode", "elsewhere", 131072, 2048),
        ("big-450m", "decode", "tiny-135m", 1024, 2048),
        ("big-450m", "prefill", "elsewhere", 131072, 2048),
        ("tiny-135m", "decode", "tiny-135m", 1024, 1024),
        ("tiny-135m", "prefill", "elsewhere", 131072, 2048),
    ]


def test_unknown_chart_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'pareto'"):
        render_chart("paretto", tmp_path, tmp_path / "x.html")


@pytest.mark.parametrize(
    ("name", "words"), [("accuracy_vs_sparsity", "not run"), ("gap_to_oracle", "not run, or no signal")]
)
def test_panel_of_a_task_that_was_not_run_says_so(name: str, words: str, some: Tables, tables: Tables) -> None:
    assert svg(name, some).count(f">{words}<") == 2 * (3 - (name == "gap_to_oracle"))  # one per model and phase drawn
    assert f">{words}<" not in svg(name, tables)


def test_a_tolerance_that_is_not_known_says_why(scores: pl.DataFrame) -> None:
    task, length = pl.col("task") == scores["task"][0], pl.col("length_tok") == 1024
    fewer = svg("tolerance", tables_of(scores.filter(~(task & length))))
    assert ">not run<" in fewer and ">no signal<" not in fewer
    mute = scores.with_columns(score=pl.when(task & length).then(pl.col("chance")).otherwise("score"))
    drawn = svg("tolerance", tables_of(mute))
    assert ">no signal<" in drawn and ">not run<" not in drawn


def test_the_known_side_of_an_interval_is_drawn(tables: Tables) -> None:
    made = load_chart("adaptivity").build(tables).to_dict()
    rows = [row for data in made["datasets"].values() for row in data if "tolerated" in row]
    one_sided = [row for row in rows if row["tolerated_high"] is None]
    assert 0 < len(one_sided) < len(rows)
    assert all(row["at_low"] == row["tolerated_low"] < row["at_high"] == row["tolerated"] for row in one_sided)
    assert all(row["at_high"] == row["tolerated_high"] for row in rows if row not in one_sided)


def test_no_task_tolerates_less_than_the_worst(tables: Tables) -> None:
    # niah_hex keeps all by the mean but is shown to nowhere; niah_prose is shown to up to 0.5, and fails at 0.8.
    hex_, low = pl.col("task") == "niah_hex", pl.col("sparsity") <= 0.5
    accuracy = tables.accuracy.with_columns(
        kept=pl.when(hex_ | low).then(1.0).otherwise(0.5),
        kept_low=pl.when(~hex_ & low).then(0.99).otherwise(0.5),
    )
    tolerance = pl.DataFrame(pl.from_arrow(tolerance_table(accuracy.to_arrow())))
    made = load_chart("tolerance").build(replace(tables, accuracy=accuracy, tolerance=tolerance)).to_dict()
    for rows in made["datasets"].values():
        ranks = {(r["method"], r["length"], r["task"]): r["rank"] for r in rows}
        for method, length, task in ranks:
            assert ranks[method, length, "worst task"] <= ranks[method, length, task]
            assert ranks[method, length, "niah_prose"] < ranks[method, length, "niah_hex"]


def test_no_panel_slips_under_the_heading_of_a_missing_one(tables: Tables) -> None:
    duels = [
        line("iso_cost", kind="sizes", length_tok=length, phase="decode", model_a="large", method_a="quest",
             sparsity_a=0.9, model_b=small, method_b="dense", cost_unit="bytes per token", winner="a")
        for small, length in (("middle", 1024), ("middle", 2048), ("small", 2048))
    ]  # fmt: skip
    drawn = svg("iso_cost", replace(tables, iso_cost=frame("iso_cost", duels)))
    assert drawn.count("no duel at equal cost") == 1


def test_a_length_that_a_phase_did_not_run_has_no_panel(scores: pl.DataFrame) -> None:
    short = (pl.col("prefill") == "dense") | (pl.col("length_tok") == 1024)
    blocks = load_chart("accuracy_vs_sparsity").build(tables_of(scores.filter(short))).to_dict()["datasets"]
    prefill = [rows for rows in blocks.values() if any(r.get("phase") == "prefill" for r in rows)]
    assert prefill and all({r["length_tok"] for r in rows} == {1024} for rows in prefill)


@pytest.mark.parametrize(("tasks", "columns"), [(1, 1), (4, 4), (5, 3), (7, 4), (8, 4), (9, 3)])
def test_tasks_of_one_length_fill_their_rows(tasks: int, columns: int) -> None:
    lines = pl.DataFrame({"task": [f"t{i}" for i in range(tasks)], "length": ["1,024 tokens"] * tasks})
    assert across(lines, "task") == columns
    assert across(pl.concat([lines, lines.with_columns(length=pl.lit("2,048 tokens"))]), "task") == 2


def test_panels_of_models_stand_by_number() -> None:
    lines = pl.DataFrame({"model": ["m-14b", "m-7b", "m-14b"], "phase": ["decode", "decode", "prefill"]})
    drawn = blocks(lines, lambda model, phase, part: (model, phase, part.height))
    assert drawn == [("m-7b", "decode", 1), ("m-14b", "prefill", 1), ("m-14b", "decode", 1)]
