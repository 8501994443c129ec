from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
import torch

from sparsebench.cli import main, parser
from sparsebench.commands.measure import _sweeps
from sparsebench.errors import UserError
from sparsebench.measure.attention import measure_attention
from sparsebench.measure.bench import Labelled, Shape
from sparsebench.measure.dense import fastest_dense
from sparsebench.measure.timing import Timing, time_calls, time_work
from sparsebench.methodfiles import method_file
from sparsebench.methods.block_sparse import BlockSparse
from sparsebench.methods.quest import Quest
from sparsebench.methods.snapkv import SnapKV
from sparsebench.spec import MethodSpec
from sparsebench.tables import MEASUREMENTS, write_table

CUDA, CPU = torch.device("cuda"), torch.device("cpu")
METHODS = [(Labelled("bs", BlockSparse()), (0.5, 0.75)), (Labelled("quest", Quest()), (0.75,)),
           (Labelled("snapkv", SnapKV()), (0.75,))]  # fmt: skip


def test_median_and_half_interquartile_range() -> None:
    # quartiles of 1..7 by the exclusive method are 2 and 6
    assert Timing((7.0, 1.0, 3.0, 2.0, 5.0, 4.0, 6.0)).median == 4.0
    assert Timing((7.0, 1.0, 3.0, 2.0, 5.0, 4.0, 6.0)).spread == 2.0
    assert Timing((1.0, 9.0, 5.0)).spread is None


def test_work_is_warmed_up_and_its_inputs_rotate() -> None:
    calls: list[int] = []
    assert len(time_work(calls.append, CPU, repeats=4, warmup=2).readings) == 4
    assert calls == [0, 1, 2, 3, 4, 5]


def test_readings_of_many_calls_are_per_call(monkeypatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))  # a second passes between looks at it
    assert set(time_calls(lambda i: None, 4, CPU).readings) == {250.0}


def test_the_baseline_is_the_fastest_backend_that_runs_and_what_does_not_is_told(caplog) -> None:
    def run(name: str) -> Timing:
        if name == "cudnn":
            raise RuntimeError("no kernel for these shapes")
        return Timing(({"flash": 2.0, "efficient": 3.0}[name],))

    assert fastest_dense(run, CUDA) == ("flash", Timing((2.0,)))
    assert "dense backend cudnn is left out of the baseline: no kernel for these shapes" in caplog.text


def test_no_backend_at_all_is_an_error_that_says_what_to_change() -> None:
    def run(name: str) -> Timing:
        raise RuntimeError("no kernel for these shapes")

    with pytest.raises(UserError, match=r"tried: cudnn, flash, efficient;.*--dtype or --head-dim"):
        fastest_dense(run, CUDA)


def test_out_of_memory_is_not_taken_for_a_refusal() -> None:
    def run(name: str) -> Timing:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        fastest_dense(run, CUDA)


@pytest.mark.parametrize("device", [CPU, pytest.param(CUDA, marks=pytest.mark.gpu)], ids=str)
def test_figures_fit_together(device) -> None:
    if device.type == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    length, shape = (4096, Shape()) if torch.cuda.is_available() else (512, Shape(2, 4, 2, 32))
    table = measure_attention(METHODS, [length], shape)
    assert table.schema.equals(MEASUREMENTS)
    about = table.schema.metadata
    assert float(about[b"copy_tb_s"]) > 0 and float(about[b"matmul_tflop_s"]) > 0
    assert "torch" in json.loads(about[b"versions"])
    rows = table.to_pylist()
    assert [(row["phase"], row["method"], row["sparsity"]) for row in rows] == [
        ("prefill", "bs", 0.5), ("prefill", "bs", 0.75), ("decode", "quest", 0.75), ("decode", "snapkv", 0.75)
    ]  # fmt: skip
    for row in rows:
        assert row["density"] == pytest.approx(1 - row["sparsity"], rel=0.15)
        assert row["speedup"] == pytest.approx(row["baseline_ms"] / row["time_ms"])
        assert row["readings"] >= 4 and row["spread_ms"] >= 0
    bs, _, quest, snapkv = rows
    size = {"float32": 4, "bfloat16": 2}[bs["dtype"]]
    pairs = length * (length + 1) / 2 * bs["density"]
    flops = 4 * shape.head_dim * shape.heads * shape.batch * pairs
    assert bs["tflop_s"] * bs["attention_ms"] * 1e9 == pytest.approx(flops)
    assert bs["floor_ms"] == pytest.approx(flops / float(about[b"matmul_tflop_s"]) / 1e9, rel=1e-3)
    entries = length * quest["density"] * shape.batch * shape.kv_heads
    assert quest["tb_s"] * quest["attention_ms"] * 1e9 == pytest.approx(2 * entries * shape.head_dim * size)
    assert quest["estimation_ms"] > 0 and snapkv["estimation_ms"] == 0  # made once, outside the timing


def test_methods_are_named_by_word_or_by_file(tmp_path) -> None:
    words = ["--sparsity", "0.5", "--method", "oracle", "--method", "quest", "page=32", "sparsity=[0.9]"]
    file = method_file(MethodSpec(label="s", method="streaming_llm"))
    given = parser().parse_args(
        ["measure", "attention", "--length", "64", "--output", "t.arrow", *words, "--method", f"{file}:StreamingDecode"]
    )
    assert sorted((entry.label, entry.method.phase, at) for entry, at in _sweeps(given)) == [
        ("StreamingDecode", "decode", (0.5,)), ("oracle", "decode", (0.5,)), ("oracle", "prefill", (0.5,)),
        ("quest", "decode", (0.9,)),
    ]  # fmt: skip
    for words, message in (
        (["qest"], "unknown method 'qest'; did you mean 'quest'"),
        (["quest", "phase=prefill"], "--method quest: phase 'prefill'; allowed: decode$"),
        (["oracle", "phase=both"], "--method oracle: phase 'both'; allowed: decode, prefill$"),
        (["quest", "sparsity=[0.5,1]"], "--method quest: sparsity 1; allowed: 0 or more, below 1"),
        (["quest", "sparsity=high"], "--method quest: sparsity 'high'"),
    ):
        given.method = [words]
        with pytest.raises(UserError, match=message):
            _sweeps(given)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--length", "0"], "--length: '0'; allowed: a whole number, 2 or more"),
        (["--length", "64", "--sparsity", "1"], "--sparsity: sparsity '1'; allowed: 0 or more, below 1"),
        (["--length", "64", "--rows", "many"], "--rows: 'many'; allowed: a whole number, 1 or more"),
        (["--length", "64", "--heads", "3"], "3 query heads cannot share 8 KV heads evenly"),
    ],
)
def test_numbers_that_make_no_sense_are_told_before_anything_is_measured(words, message, tmp_path, capsys) -> None:
    call = ["measure", "attention", "--method", "quest", "--output", str(tmp_path / "t.arrow"), *words]
    try:
        assert main(call) == 1
    except SystemExit as ended:
        assert ended.code == 2
    assert message in capsys.readouterr().err


def test_export_keeps_every_figure_and_what_the_device_is(tmp_path) -> None:
    example = {pa.string(): "a", pa.int32(): 2, pa.float64(): 0.1}
    row = {f.name: example[f.type] for f in MEASUREMENTS}
    about = {"device": "a", "driver": "580.1", "copy_tb_s": "4.2"}
    table = pa.Table.from_pylist([row], schema=MEASUREMENTS)
    write_table(table, tmp_path / "one.arrow", about)
    (tmp_path / "list").write_text(f"{tmp_path / 'one.arrow'}\n")
    collected = tmp_path / "all.arrow"
    assert main(["collect", "measurements", "--inputs", str(tmp_path / "list"), "--output", str(collected)]) == 0
    for name in ("one", "all"):
        file = tmp_path / f"{name}.arrow"
        assert main(["measure", "export", str(file), "--output", str(tmp_path / f"{name}.csv")]) == 0
        read = pl.read_csv(tmp_path / f"{name}.csv")
        assert read.columns == MEASUREMENTS.names and read.row(0) == tuple(row.values())
        assert about.items() <= json.loads((tmp_path / f"{name}.json").read_text()).items()


def test_the_table_of_the_page_is_what_was_measured() -> None:
    root = Path(__file__).parents[2]
    measured = pl.read_csv(root / "resources/measurements/h200_attention.csv").filter(pl.col("length_tok") == 131072)
    page = (root / "docs/performance.md").read_text()
    body = page.partition("## At 131,072 tokens")[2].partition("\n\nCrossover")[0]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in body.splitlines() if line.startswith("| ")]
    method = ""
    assert len(lines) == 9
    for name, sparsity, chosen, attended, total, ratio, rate, _ in lines[1:]:
        method = name.partition(",")[0] or method
        row = measured.row(
            by_predicate=(pl.col("method") == method) & (pl.col("sparsity") == float(sparsity)), named=True
        )
        assert float(ratio) == pytest.approx(row["speedup"], abs=0.006 if row["speedup"] < 10 else 0.06)
        for text, ms in ((chosen, row["estimation_ms"]), (attended, row["attention_ms"]), (total, row["time_ms"])):
            if text != "once":
                value, unit = text.split()
                assert float(value) == pytest.approx(ms * {"ms": 1, "us": 1e3}[unit], rel=0.005)
        value, unit = rate.split()[:2]
        assert float(value) == pytest.approx(row[{"TFLOP/s": "tflop_s", "TB/s": "tb_s"}[unit]], rel=0.025)


def test_the_page_says_of_whole_models_what_was_measured() -> None:
    root = Path(__file__).parents[2]
    files = sorted((root / "resources/measurements").glob("h200_generation_*.csv"))
    measured = pl.concat([pl.read_csv(file) for file in files], how="vertical_relaxed")
    body = (root / "docs/performance.md").read_text().partition("## Whole models")[2].partition("\n\n- ")[0]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in body.splitlines() if line.startswith("| ")]
    phase = ""
    assert 2 * len(lines[1:]) == measured.height
    for stated, words, *figures in lines[1:]:
        phase = stated or phase
        method, _, cache = words.partition(", ")
        where = (pl.col("phase") == phase) & (pl.col("method") == method.split()[0])
        for length, time, ratio in zip((32768, 131072), figures[::2], figures[1::2], strict=True):
            at = where & (pl.col("length_tok") == length) & (pl.col("cache") == (cache or "shared"))
            row = measured.row(by_predicate=at, named=True)
            assert float(time) == pytest.approx(row["time_ms"], rel=0.005)
            assert float(ratio) == pytest.approx(row["speedup"], abs=0.006)
