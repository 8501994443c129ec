"""Writes the report's first page: one file that needs nothing else."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import polars as pl
import pyarrow as pa
import yaml
from markupsafe import Markup

from sparsebench.charts.data import Nothing, Tables, load_tables
from sparsebench.charts.packed import library, packed, packed_chart
from sparsebench.charts.registry import chart_names, load_chart, spec_of
from sparsebench.config import parse_config
from sparsebench.grid import Grid
from sparsebench.report.downloads import downloads
from sparsebench.report.phrases import bounds, plural, share
from sparsebench.report.rows import Numbered, cited, shown
from sparsebench.report.sentences import duels, effects, fits, growth, kept, pairs, speed
from sparsebench.report.sentences.doubts import averaged, doubts
from sparsebench.report.sentences.groups import findings
from sparsebench.report.taxonomy import methods_run
from sparsebench.stats.configuration import DENSE, natural

log = logging.getLogger("sparsebench")

# Snakemake's report shows a page as a base64 data URI, which Chromium leaves blank above 2 MiB.
PAGE_BYTES = 2 * 2**20 * 3 // 4 - 2**16
# Charts in the order of the questions that they answer; those not named here follow by name.
FIRST_CHARTS = (
    "pareto size_frontier iso_cost accuracy_vs_sparsity tolerance kept_by_length adaptivity prefill_patterns "
    "kv_handling speedup_vs_accuracy latency gap_to_oracle"
)
HEADLINES = (kept, pairs, duels, growth, effects, fits, speed)


def write_overview(
    tables_dir: Path, config_json: str, output: Path, measured: Sequence[Path] = (), bundle: Path | None = None
) -> None:
    """Write the page from the tables of a run.

    Parameters
    ----------
    tables_dir, measured
        As in :func:`sparsebench.charts.data.load_tables`; every ``.arrow`` file in the folder is offered for download
        as far as the page has room.
    config_json
        The resolved config.
    output
        The page; written at once or not at all.
    bundle
        As in :func:`sparsebench.charts.render.render_chart`.

    Raises
    ------
    UserError
        If a table is missing or damaged, or the config has mistakes.
    """
    content = _content(load_tables(tables_dir, measured), tables_dir, config_json, bundle)
    template = _template()
    bare = len(template.render(**content, downloads=downloads(tables_dir, 0)).encode())
    page = template.render(**content, downloads=downloads(tables_dir, PAGE_BYTES - bare))
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.{os.getpid()}.partial")
    try:
        partial.write_text(page, encoding="utf-8")
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    if bare > PAGE_BYTES:
        log.warning("overview: %s is too large for Chromium inside Snakemake's report; open it by itself", output)
    log.info("overview: %s (%.2f MiB)", output, output.stat().st_size / 2**20)


def _template() -> jinja2.Template:
    loader = jinja2.FunctionLoader(lambda name: files(__package__).joinpath(name).read_text(encoding="utf-8"))
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"share": share, "plural": plural}
    environment.globals["bounds"] = bounds
    return environment.get_template("overview.html")


def _content(tables: Tables, folder: Path, config_json: str, bundle: Path | None) -> dict[str, Any]:
    given = json.loads(config_json)
    config = parse_config(given)
    rows = Numbered.of(tables)
    dense = [row for row in rows.accuracy if row["phase"] == DENSE]
    said: dict[str, Any] = {
        "headlines": [(module.TITLE, found) for module in HEADLINES if (found := list(module.sentences(rows)))],
        "findings": findings(rows),
        "doubts": doubts(rows.accuracy, Grid(config).dropped),
    }
    texts = [*said["doubts"], *(s for _, group in said["headlines"] for s in group)]
    texts += [s for group in said["findings"] for s in group.sentences]
    drawn, empty = _charts(tables)
    results = shown(rows, cited(map(str, texts)))
    metadata = pa.ipc.open_file(str(folder / "accuracy.arrow")).schema.metadata or {}
    return said | {
        "run": _run(tables.accuracy),
        "charts": drawn,
        "empty_charts": empty,
        "library": library(bundle) if drawn else "",
        "dense": [row | {"averaged": averaged(row, dense)} for row in dense],
        "results": results,
        "packed": [packed("table", table.html, f"table-{table.name}") for table in results],
        "methods": methods_run(config),
        "config": yaml.safe_dump(given, sort_keys=False, default_flow_style=None, width=100),
        "versions": json.loads(metadata.get(b"versions", b"{}")),
        "devices": metadata.get(b"devices", b"").decode() or "not recorded",
        "style": Markup(files(__package__).joinpath("overview.css").read_text(encoding="utf-8")),
    }


def _run(accuracy: pl.DataFrame) -> dict[str, Any]:
    sparse = accuracy.filter(pl.col("phase") != DENSE)
    return {
        "models": sorted(accuracy["model"].unique(), key=natural),
        "tasks": sorted(accuracy["task"].unique()),
        "lengths": sorted(accuracy["length_tok"].unique()),
        "sparsities": sorted(sparse["sparsity"].unique()),
        "methods": sparse["method"].n_unique(),
        "configurations": sparse.select("phase", "method", "sparsity").n_unique(),
        "n": sorted(accuracy["n"].unique()),
        "rows": int(accuracy["n"].sum()),
    }


def _charts(tables: Tables) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Charts to draw, and those with nothing to show, with the reason."""
    names = chart_names()
    first = [n for n in FIRST_CHARTS.split() if n in names]
    ordered = first + [n for n in names if n not in first]
    drawn, empty = [], []
    for name in ordered:
        module = load_chart(name)
        made = spec_of(name, tables)
        about = {"name": name, "title": module.TITLE, "caption": module.CAPTION}
        if isinstance(made, Nothing):
            empty.append(about | {"reason": made.reason})
        else:
            drawn.append(about | {"spec": packed_chart(made, f"draw-{name}")})
    return drawn, empty
