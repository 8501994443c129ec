"""Subcommands that turn rows into tables, charts and the report's first page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sparsebench.commands.arguments import Commands, command, output


def add(commands: Commands) -> None:
    """Declare the subcommands of this module."""
    sub = command(commands, "collect", "put the tables of all cells into one", _collect)
    sub.add_argument("kind", choices=("predictions", "scores"))
    sub.add_argument("--config", default="{}", metavar="JSON", help="resolved config, kept as provenance")
    sub.add_argument(
        "--inputs",
        type=argparse.FileType(),
        required=True,
        metavar="FILE",
        help="list of the tables, one a line (-: stdin)",
    )
    output(sub, "table (.arrow)")

    sub = command(commands, "accuracy", "accuracy per setting, with intervals and differences to dense", _accuracy)
    sub.add_argument("--scores", type=Path, required=True, metavar="FILE")
    output(sub, "table (.arrow)")

    sub = command(commands, "frontier", "the Pareto set of accuracy against attention cost", _frontier)
    sub.add_argument("--accuracy", type=Path, required=True, metavar="FILE")
    output(sub, "table (.arrow)")

    sub = command(commands, "chart", "draw one chart from the tables", _chart)
    sub.add_argument("name", help="chart to draw")
    sub.add_argument("--tables", type=Path, required=True, metavar="FOLDER")
    output(sub, "chart (.html; .svg and .png are written beside it)")

    sub = command(commands, "overview", "write the report's first page", _overview)
    sub.add_argument("--tables", type=Path, required=True, metavar="FOLDER")
    sub.add_argument("--config", required=True, metavar="JSON", help="resolved config")
    output(sub, "page (.html)")


def _collect(given: argparse.Namespace) -> None:
    import pyarrow as pa

    from sparsebench.provenance import stamp
    from sparsebench.tables import PREDICTIONS, SCORES, read_table, write_table

    schema = {"predictions": PREDICTIONS, "scores": SCORES}[given.kind]
    paths = [Path(line) for line in given.inputs.read().splitlines() if line]
    tables = [read_table(path, schema) for path in paths]
    devices = sorted({(t.schema.metadata or {}).get(b"device", b"").decode() for t in tables} - {""})
    # Metadata differs from cell to cell, and concatenating wants one schema.
    table = pa.concat_tables([t.replace_schema_metadata(None).cast(schema) for t in tables])
    write_table(table, given.output, stamp(config=given.config, devices=", ".join(devices)))


def _accuracy(given: argparse.Namespace) -> None:
    from sparsebench.stats.accuracy import accuracy_table
    from sparsebench.tables import SCORES, read_table, write_table

    scores = read_table(given.scores, SCORES)
    write_table(accuracy_table(scores), given.output, _inherited(scores))


def _frontier(given: argparse.Namespace) -> None:
    from sparsebench.stats.frontier import frontier_table
    from sparsebench.tables import ACCURACY, read_table, write_table

    accuracy = read_table(given.accuracy, ACCURACY)
    write_table(frontier_table(accuracy), given.output, _inherited(accuracy))


def _inherited(table: Any) -> dict[str, str]:
    meta = table.schema.metadata or {}
    return {k.decode(): v.decode() for k, v in meta.items() if k in (b"config", b"devices", b"versions")}


def _chart(given: argparse.Namespace) -> None:
    from sparsebench.charts.registry import chart_names
    from sparsebench.charts.render import render_chart
    from sparsebench.errors import unknown

    if given.name not in chart_names():
        raise unknown("chart", given.name, chart_names())
    render_chart(given.name, given.tables, given.output)


def _overview(given: argparse.Namespace) -> None:
    from sparsebench.report.overview import write_overview

    write_overview(given.tables, given.config, given.output)
