"""Subcommand that answers common questions at the terminal, from the tables of a run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsebench.commands.arguments import Commands, command

if TYPE_CHECKING:
    import polars as pl

    from sparsebench.spec import MethodSpecs


def add(commands: Commands) -> None:
    """Declare the subcommand of this module."""
    query = commands.add_parser(
        "query", help="answer a question from the tables", description="Answer a question from the tables of a run."
    )
    questions = query.add_subparsers(dest="question", required=True, metavar="QUESTION", title="questions")

    sub = command(questions, "best", "the cheapest configuration that keeps a share, or the best within a cost", _best)
    sub.add_argument("--keep", type=float, metavar="SHARE", help="share of dense accuracy to keep")
    sub.add_argument("--accuracy", type=float, metavar="SHARE", help="least accuracy")
    sub.add_argument("--cost", type=float, metavar="SHARE", help="highest cost of the whole model relative to dense")
    sub.add_argument("--attention", type=float, metavar="SHARE", help="highest share of attention")
    sub.add_argument(
        "--latency", type=float, metavar="MS", help="longest measured time: of a prefill, or per generated token"
    )
    sub.add_argument(
        "--measurements", type=Path, metavar="FILE", help="for --latency; default: measurements.arrow of --tables"
    )
    _which(sub)

    sub = command(
        questions, "tolerance", "the highest sparsity at which each method keeps a share of dense", _tolerance
    )
    sub.add_argument(
        "--keep", type=float, metavar="SHARE", default=0.95, help="share of dense accuracy (default: 0.95)"
    )
    _which(sub)

    sub = command(
        questions, "effects", "every configuration against dense: difference, effect size, adjusted p", _effects
    )
    _which(sub)

    sub = command(questions, "equal-cost", "who wins where two configurations cost the same", _equal_cost)
    _which(sub)

    sub = command(questions, "cost-check", "what the cost model says beside what was measured", _cost_check)
    sub.add_argument(
        "--measurements", type=Path, metavar="FILE", help="measured elsewhere; default: what the run measured"
    )
    _which(sub)

    sub = command(questions, "compare", "two configurations, sample by sample", _compare)
    for name in ("a", "b"):
        sub.add_argument(name, help="method@sparsity, phase:method@sparsity or dense")
    _which(sub)

    sub = command(questions, "runs", "this run against another, as of another device, sample by sample", _runs)
    sub.add_argument("other", type=Path, metavar="FOLDER", help="tables of the other run")
    _which(sub)


def _which(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--model", help="only this model")
    sub.add_argument("--length", type=int, metavar="TOKENS", help="only this prompt length")
    sub.add_argument("--phase", choices=("prefill", "decode", "both"), help="only where this phase is sparse")
    sub.add_argument(
        "--tables", type=Path, default=Path("results/tables"), metavar="FOLDER", help="default: results/tables"
    )


def _read(given: argparse.Namespace, name: str) -> pl.DataFrame:
    import polars as pl

    from sparsebench.tables import read_table
    from sparsebench.tables.page import schema_of

    return pl.DataFrame(pl.from_arrow(read_table(given.tables / f"{name}.arrow", schema_of(name))))


def _asked(frame: pl.DataFrame, given: argparse.Namespace) -> pl.DataFrame:
    """Lines of the model, length and phase asked for; dense, which every phase is compared with, stays."""
    import polars as pl

    from sparsebench.errors import unknown

    for option, column in (("model", "model"), ("length", "length_tok"), ("phase", "phase")):
        value = getattr(given, option)
        if value is None:
            continue
        known = frame[column].unique().to_list()
        if value not in known:
            raise unknown(option, str(value), [str(k) for k in known if k != "dense"])
        frame = frame.filter(pl.col(column).is_in([value, "dense"]) if option == "phase" else pl.col(column) == value)
    return frame


def _best(given: argparse.Namespace) -> None:
    from sparsebench.stats.query import Bounds, best, fastest

    frontier = _asked(_read(given, "frontier"), given)
    bounds = Bounds(given.keep, given.cost, given.attention, given.accuracy)
    if given.latency is not None:
        found, columns = fastest(frontier, _timings(given), given.latency, bounds), _FASTEST
    else:
        found, columns = best(frontier, bounds), _BEST
    print("No configuration meets the bounds." if found.is_empty() else _text(found, columns))
    if not found.is_empty():
        print("sure: whether the lower ends of the 95 % intervals meet the bounds on accuracy too")


def _timings(given: argparse.Namespace) -> pl.DataFrame:
    import polars as pl

    from sparsebench.errors import UserError
    from sparsebench.tables import MEASUREMENTS, read_table

    path = given.measurements or given.tables / "measurements.arrow"
    if not path.is_file():
        raise UserError(
            f"{path}: no measurements; make them with `sparsebench measure generation`, or name a file with "
            "--measurements"
        )
    return pl.DataFrame(pl.from_arrow(read_table(path, MEASUREMENTS)))


def _tolerance(given: argparse.Namespace) -> None:
    import polars as pl

    from sparsebench.stats.tolerance import tolerance_table

    accuracy = _asked(_read(given, "accuracy"), given)
    table = pl.DataFrame(pl.from_arrow(tolerance_table(accuracy.to_arrow(), given.keep)))
    print("No task has signal." if table.is_empty() else _text(table, _TOLERANCE))
    print(f"tolerance: keeps {given.keep:.0%} of dense by the lower end of the 95 % interval; by_mean: by the mean")


def _effects(given: argparse.Namespace) -> None:
    table = _read(given, "effects")
    print("Nothing to compare with dense." if table.is_empty() else _text(_asked(table, given), _EFFECTS))
    print("lost, won: share of samples; p_holm: adjusted over all of a model's lines with signal, controls left out")


def _cost_check(given: argparse.Namespace) -> None:
    table = _read(given, "cost_check") if given.measurements is None else _checked(given)
    print("Nothing measured that the cost model prices." if table.is_empty() else _text(_asked(table, given), _CHECK))
    print("excess: time_share over cost_share, 1 where the clock agrees with the cost model")


def _checked(given: argparse.Namespace) -> pl.DataFrame:
    """``--measurements`` beside the cost model, with the models and methods of the run where there is one."""
    import polars as pl

    from sparsebench.stats.cost_check import cost_check_table
    from sparsebench.tables import MODELS

    known = (given.tables / "models.arrow").is_file()
    models = _read(given, "models").to_arrow() if known else MODELS.empty_table()
    return pl.DataFrame(pl.from_arrow(cost_check_table(_timings(given).to_arrow(), models, _methods(given))))


def _methods(given: argparse.Namespace) -> MethodSpecs:
    """The methods of the config that the run's tables carry; none where they carry none."""
    from sparsebench.names import recorded_methods
    from sparsebench.tables import ACCURACY, read_table

    path = given.tables / "accuracy.arrow"
    meta = (read_table(path, ACCURACY).schema.metadata or {}) if path.is_file() else {}
    return recorded_methods(json.loads(meta.get(b"config", b"{}")))


def _equal_cost(given: argparse.Namespace) -> None:
    import polars as pl

    table = _read(given, "iso_cost")
    if given.model is not None:
        table = table.filter((pl.col("model_a") == given.model) | (pl.col("model_b") == given.model))
    for option, column in (("length", "length_tok"), ("phase", "phase")):
        value = getattr(given, option)
        table = table if value is None else table.filter(pl.col(column) == value)
    names = (pl.format("{}/{}@{}", f"model_{side}", f"method_{side}", f"sparsity_{side}").alias(side) for side in "ab")
    print("No two configurations at equal cost." if table.is_empty() else _text(table.with_columns(names), _DUEL))
    print("difference: accuracy of a minus b, mean over tasks, with its 95 % interval; undecided: it holds 0")


def _compare(given: argparse.Namespace) -> None:
    from sparsebench.stats.query import compare

    table = compare(_asked(_read(given, "accuracy"), given), given.a, given.b)
    print(_text(table, table.columns))
    print(f"a: {given.a}, b: {given.b}; difference: a minus b, paired, with its 95 % interval")


def _runs(given: argparse.Namespace) -> None:
    from sparsebench.stats.query import between

    here = _asked(_read(given, "accuracy"), given)
    table = between(here, _read(argparse.Namespace(tables=given.other), "accuracy"))
    print(_text(table, table.columns))
    differ, mean = int((table["p_holm"] < 0.05).sum()), float(table["difference"].to_numpy().mean())
    print(f"{differ} of {table.height} configurations differ (p_holm < 0.05), mean difference {mean:+.4f}")
    print(f"a: {given.tables}, b: {given.other}; difference: a minus b, paired, with its 95 % interval")


_NAMED = ["model", "length_tok", "phase", "method", "sparsity"]
_SCORE = ["accuracy", "kept", "kept_low", "kept_high", "n"]
_BEST = [*_NAMED, "cost_share", "attention_share", *_SCORE, "sure"]
_FASTEST = [*_NAMED, "device", "time_ms", "speedup", "cost_share", "attention_share", *_SCORE, "sure"]
_DUEL = ["kind", "length_tok", "phase", "a", "b", "difference", "difference_low", "difference_high", "p_holm", "winner"]
_CHECK = ["kind", *_NAMED, "density", "cost_share", "time_share", "excess"]
_TOLERANCE = ["model", "length_tok", "phase", "method", "task", "tolerance", "by_mean", "n", "worst"]
_EFFECTS = ["model", "length_tok", "task", "phase", "method", "sparsity", "n_pairs", "difference", "difference_low"]
_EFFECTS += ["difference_high", "lost", "won", "effect_size", "p", "p_holm"]


def _text(frame: pl.DataFrame, columns: list[str]) -> str:
    """Columns under their names, as wide as they need, for eyes and for ``awk``."""
    rows = [columns, *([_cell(v) for v in row] for row in frame.select(columns).iter_rows())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    return "\n".join("  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _cell(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        small = 0 < abs(value) < 0.001
        return f"{value:.1e}" if small else f"{value:.3f}".rstrip("0").rstrip(".")
    return str(value).replace(" ", "")
