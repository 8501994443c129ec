"""Writes the report's first page: one file that needs nothing else."""

from __future__ import annotations

import json
import logging
import os
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import polars as pl
import pyarrow as pa
import yaml
from markupsafe import Markup

from sparsebench.charts.data import Tables, load_tables
from sparsebench.charts.registry import chart_names, load_chart
from sparsebench.charts.render import vegalite_version
from sparsebench.config import parse_config
from sparsebench.report.downloads import downloads
from sparsebench.report.findings import doubts, findings, numbered
from sparsebench.report.phrases import bounds, plural, share
from sparsebench.report.taxonomy import methods_run
from sparsebench.stats.configuration import DENSE

log = logging.getLogger("sparsebench")

# Beyond this the table by task is for the download alone: a browser would take seconds to lay it out.
SHOWN_ROWS = 3000
# Charts in the order of the questions that they answer; those not named here follow by name.
FIRST_CHARTS = ("pareto", "accuracy_vs_sparsity", "tolerance", "kept_by_length", "gap_to_oracle")


def write_overview(tables_dir: Path, config_json: str, output: Path) -> None:
    """Write the page from the tables of a run.

    Parameters
    ----------
    tables_dir
        Folder with ``accuracy.arrow`` and ``frontier.arrow``; every ``.arrow`` file in it is offered for download.
    config_json
        The resolved config.
    output
        The page; written at once or not at all.

    Raises
    ------
    UserError
        If a table is missing or damaged, or the config has mistakes.
    """
    tables = load_tables(tables_dir)
    page = _template().render(**_content(tables, tables_dir, config_json))
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.{os.getpid()}.partial")
    try:
        partial.write_text(page, encoding="utf-8")
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    log.info("overview: %s (%.1f MiB)", output, output.stat().st_size / 2**20)


def _template() -> jinja2.Template:
    loader = jinja2.FunctionLoader(lambda name: files(__package__).joinpath(name).read_text(encoding="utf-8"))
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"share": share, "plural": plural}
    environment.globals["bounds"] = bounds
    return environment.get_template("overview.html")


def _content(tables: Tables, folder: Path, config_json: str) -> dict[str, Any]:
    config = json.loads(config_json)
    rows = numbered(tables.accuracy, "a")
    metadata = pa.ipc.open_file(str(folder / "accuracy.arrow")).schema.metadata or {}
    return {
        "run": _run(tables.accuracy),
        "findings": findings(tables.frontier),
        "doubts": doubts(tables.accuracy),
        "charts": _charts(tables),
        "library": Markup(_library()),
        "dense": [row for row in rows if row["phase"] == DENSE],
        "frontier": numbered(tables.frontier, "f"),
        "accuracy": rows if len(rows) <= SHOWN_ROWS else None,
        "accuracy_rows": len(rows),
        "methods": methods_run(parse_config(config)),
        "downloads": downloads(folder),
        "config": yaml.safe_dump(config, sort_keys=False, default_flow_style=None, width=100),
        "versions": json.loads(metadata.get(b"versions", b"{}")),
        "devices": metadata.get(b"devices", b"").decode() or "not recorded",
        "style": Markup(files(__package__).joinpath("overview.css").read_text(encoding="utf-8")),
    }


def _run(accuracy: pl.DataFrame) -> dict[str, Any]:
    sparse = accuracy.filter(pl.col("phase") != DENSE)
    return {
        "models": sorted(accuracy["model"].unique()),
        "tasks": sorted(accuracy["task"].unique()),
        "lengths": sorted(accuracy["length_tok"].unique()),
        "sparsities": sorted(sparse["sparsity"].unique()),
        "methods": sparse["method"].n_unique(),
        "configurations": sparse.select("phase", "method", "sparsity").n_unique(),
        "n": sorted(accuracy["n"].unique()),
        "rows": int(accuracy["n"].sum()),
    }


def _charts(tables: Tables) -> list[dict[str, Any]]:
    names = chart_names()
    ordered = [n for n in FIRST_CHARTS if n in names] + [n for n in names if n not in FIRST_CHARTS]
    found = []
    for name in ordered:
        module = load_chart(name)
        # Inside a script element `<` must not appear, whatever a label holds.
        spec = json.dumps(module.build(tables).to_dict()).replace("<", "\\u003c")
        found.append({"name": name, "title": module.TITLE, "caption": module.CAPTION, "spec": Markup(spec)})
    return found


@cache
def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed, of the Vega-Lite version that the charts are written in."""
    import vl_convert

    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=vegalite_version())
    return bundle.replace("</script", "<\\/script")
