"""Subcommands that turn rows into tables, charts and the report's first page."""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsebench.commands.arguments import Commands, command, output, spec
from sparsebench.entries import Analysis
from sparsebench.spec import MethodSpecs

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger("sparsebench")


def add(commands: Commands) -> None:
    """Declare the subcommands of this module."""
    sub = command(commands, "collect", "put the tables of all cells into one", _collect)
    sub.add_argument("kind", choices=("predictions", "scores", "measurements"))
    sub.add_argument("--config", default="{}", metavar="JSON", help="resolved config, kept as provenance")
    sub.add_argument(
        "--inputs",
        type=argparse.FileType(),
        required=True,
        metavar="FILE",
        help="list of the tables, one a line (-: stdin)",
    )
    output(sub, "table (.arrow)")

    sub = command(commands, "models", "what each model is, and what its cost follows from", _models)
    sub.add_argument("--models", type=Path, nargs="+", required=True, metavar="MODEL.JSON", help="of fetched models")
    sub.add_argument(
        "--tokenizers", type=json.loads, default={}, metavar="JSON", help="model: whose samples it answers"
    )
    output(sub, "table (.arrow)")

    sub = command(commands, "tabulate", "make a table from others", _tabulate)
    sub.add_argument("name", help="table to make, as in docs/tables.md")
    sub.add_argument("--tables", type=Path, required=True, metavar="FOLDER", help="where the others lie")
    sub.add_argument(
        "--methods", type=spec(MethodSpecs), default=MethodSpecs(), metavar="JSON", help="the config's methods"
    )
    sub.add_argument(
        "--analysis", type=spec(Analysis), default=Analysis(), metavar="JSON", help="the config's analysis"
    )
    output(sub, "table (.arrow)")

    sub = command(commands, "chart", "draw one chart from the tables", _chart)
    sub.add_argument("name", help="chart to draw")
    sub.add_argument("--tables", type=Path, required=True, metavar="FOLDER")
    _drawn(sub)
    output(sub, "chart (.html; .svg and .png are written beside it)")

    sub = command(commands, "chart-library", "write the code that draws charts in a browser, once for all", _library)
    output(sub, "code (.js)")

    sub = command(commands, "overview", "write the report's first page", _overview)
    sub.add_argument("--tables", type=Path, required=True, metavar="FOLDER")
    sub.add_argument("--config", required=True, metavar="JSON", help="resolved config")
    _drawn(sub)
    output(sub, "page (.html)")


def _drawn(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--library", type=Path, metavar="FILE", help="what chart-library wrote; default: made anew")
    sub.add_argument(
        "--measured",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE.CSV",
        help="measurements made elsewhere, to show too",
    )


def _collect(given: argparse.Namespace) -> None:
    import pyarrow as pa

    from sparsebench.provenance import stamp
    from sparsebench.tables import read_table, write_table
    from sparsebench.tables.page import schema_of

    schema = schema_of(given.kind)
    paths = [Path(line) for line in given.inputs.read().splitlines() if line]
    tables = [read_table(path, schema) for path in paths]
    devices = sorted({(t.schema.metadata or {}).get(b"device", b"").decode() for t in tables} - {""})
    # Metadata differs from cell to cell, and concatenating wants one schema.
    table = pa.concat_tables([schema.empty_table(), *(t.replace_schema_metadata(None).cast(schema) for t in tables)])
    if given.kind == "measurements":
        table = table.filter(pa.array(_first(table.drop_columns(_READINGS).to_pylist()), pa.bool_()))
    more = {"measured_on": json.dumps(_devices(tables))} if given.kind == "measurements" else {}
    write_table(table, given.output, stamp(config=given.config, devices=", ".join(devices), **more))


_READINGS = ["density", "time_ms", "spread_ms", "readings", "baseline", "baseline_ms", "speedup", "tflop_s", "tb_s"]
_READINGS += ["floor_ms", "estimation_ms", "attention_ms", "kv_mib", "peak_mib"]


def _first(rows: list[dict[str, Any]]) -> list[bool]:
    """Which rows are the first of their kind: dense is timed anew beside every method, and stands in the table once."""
    seen: set[str] = set()
    kept = []
    for key in (json.dumps(row, sort_keys=True) for row in rows):
        kept.append(key not in seen)
        seen.add(key)
    return kept


def _devices(tables: list[pa.Table]) -> dict[str, dict[str, str]]:
    """What measurements say of each device: driver, versions, ceilings; the first table of a device is believed."""
    found: dict[str, dict[str, str]] = {}
    for table in tables:
        about = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
        found.setdefault(about.get("device", "unknown"), about)
    return found


def _models(given: argparse.Namespace) -> None:
    from sparsebench.cost.models import models_table
    from sparsebench.provenance import stamp
    from sparsebench.tables import write_table

    write_table(models_table([path.parent for path in given.models], given.tokenizers), given.output, stamp())


def _tabulate(given: argparse.Namespace) -> None:
    from sparsebench.stats.derived import derive, inputs_of
    from sparsebench.tables import read_table, write_table
    from sparsebench.tables.page import schema_of

    began = time.perf_counter()
    inputs = {name: read_table(given.tables / f"{name}.arrow", schema_of(name)) for name in inputs_of(given.name)}
    table = derive(given.name, inputs, given.analysis, given.methods)
    write_table(table, given.output, _inherited(*inputs.values()))
    log.info("%s: %d rows in %.1f s", given.name, table.num_rows, time.perf_counter() - began)


def _inherited(*tables: pa.Table) -> dict[str, str]:
    """Provenance that a table made from others keeps; the first that states a fact is believed."""
    meta = {k: v for table in reversed(tables) for k, v in (table.schema.metadata or {}).items()}
    return {k.decode(): v.decode() for k, v in meta.items() if k in (b"config", b"devices", b"versions")}


def _chart(given: argparse.Namespace) -> None:
    from sparsebench.charts.registry import chart_names
    from sparsebench.charts.render import render_chart
    from sparsebench.errors import unknown

    if given.name not in chart_names():
        raise unknown("chart", given.name, chart_names())
    render_chart(given.name, given.tables, given.output, given.measured, given.library)


def _library(given: argparse.Namespace) -> None:
    from sparsebench.charts.packed import bundle

    given.output.parent.mkdir(parents=True, exist_ok=True)
    partial = given.output.with_name(f".{given.output.name}.partial")
    partial.write_text(bundle(), encoding="utf-8")
    partial.replace(given.output)


def _overview(given: argparse.Namespace) -> None:
    from sparsebench.report.overview import write_overview

    write_overview(given.tables, given.config, given.output, given.measured, given.library)
