"""Subcommand that answers common questions at the terminal, from the tables of a run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsebench.commands.arguments import Commands, command

if TYPE_CHECKING:
    import polars as pl

    from sparsebench.charts.data import Tables


def add(commands: Commands) -> None:
    """Declare the subcommand of this module."""
    query = commands.add_parser(
        "query", help="answer a question from the tables", description="Answer a question from the tables of a run."
    )
    questions = query.add_subparsers(dest="question", required=True, metavar="QUESTION", title="questions")

    sub = command(questions, "best", "the cheapest configuration that keeps a share, or the best within a cost", _best)
    sub.add_argument("--keep", type=float, metavar="SHARE", help="share of dense accuracy to keep")
    sub.add_argument("--cost", type=float, metavar="SHARE", help="highest attention cost relative to dense")
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

    sub = command(questions, "compare", "two configurations, sample by sample", _compare)
    for name in ("a", "b"):
        sub.add_argument(name, help="method@sparsity, phase:method@sparsity or dense")
    _which(sub)


def _which(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--model", help="only this model")
    sub.add_argument("--length", type=int, metavar="TOKENS", help="only this prompt length")
    sub.add_argument("--phase", choices=("prefill", "decode", "both"), help="only where this phase is sparse")
    sub.add_argument(
        "--tables", type=Path, default=Path("results/tables"), metavar="FOLDER", help="default: results/tables"
    )


def _tables(given: argparse.Namespace) -> Tables:
    from sparsebench.charts.data import load_tables

    return load_tables(given.tables)


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
    from sparsebench.stats.query import best

    found = best(_asked(_tables(given).frontier, given), given.keep, given.cost)
    if found.is_empty():
        print("No configuration meets the bounds.")
    elif given.keep is None:
        print(_text(found, _BEST))
    else:
        print(_text(found, [*_BEST, "sure"]))
        print("sure: whether the lower end of the 95 % interval keeps that share too")


def _tolerance(given: argparse.Namespace) -> None:
    import polars as pl

    from sparsebench.stats.tolerance import tolerance_table

    accuracy = _asked(_tables(given).accuracy, given)
    table = pl.DataFrame(pl.from_arrow(tolerance_table(accuracy.to_arrow(), given.keep)))
    print("No task has signal." if table.is_empty() else _text(table, _TOLERANCE))
    print(f"tolerance: keeps {given.keep:.0%} of dense by the lower end of the 95 % interval; by_mean: by the mean")


def _effects(given: argparse.Namespace) -> None:
    import polars as pl

    from sparsebench.stats.effects import effects_table

    # Holm's family is all of a model, so p is adjusted before lines are left out.
    table = pl.DataFrame(pl.from_arrow(effects_table(_tables(given).accuracy.to_arrow())))
    print("Nothing to compare with dense." if table.is_empty() else _text(_asked(table, given), _EFFECTS))
    print("lost, won: share of samples; p_holm: adjusted over all of a model's lines with signal, controls left out")


def _compare(given: argparse.Namespace) -> None:
    from sparsebench.stats.query import compare

    table = compare(_asked(_tables(given).accuracy, given), given.a, given.b)
    print(_text(table, table.columns))
    print(f"a: {given.a}, b: {given.b}; difference: a minus b, paired, with its 95 % interval")


_BEST = [
    "model",
    "length_tok",
    "phase",
    "method",
    "sparsity",
    "attention_share",
    "accuracy",
    "kept",
    "kept_low",
    "kept_high",
    "n",
]
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
