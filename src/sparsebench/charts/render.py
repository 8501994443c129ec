"""Draw a chart into files."""

from __future__ import annotations

import io
import logging
import os
from pathlib import Path
from typing import Any

import altair
import vl_convert

from sparsebench.charts.data import load_tables
from sparsebench.charts.registry import load_chart

log = logging.getLogger("sparsebench")


def render_chart(name: str, tables_dir: Path, output: Path) -> None:
    """Draw the chart ``name`` from the tables in a folder.

    Parameters
    ----------
    name
        As in :func:`sparsebench.charts.registry.chart_names`.
    tables_dir
        Folder with ``accuracy.arrow`` and ``frontier.arrow``.
    output
        Where the interactive page goes (``.html``, needs no network); ``.svg`` and ``.png`` are written beside it.

    Raises
    ------
    UserError
        If there is no such chart, or a table is missing or damaged.
    """
    chart: Any = load_chart(name).build(load_tables(tables_dir))
    svg = vl_convert.vegalite_to_svg(chart.to_dict(), vl_version=vegalite_version())
    page = io.StringIO()
    chart.save(page, format="html", inline=True)
    _write(output.with_suffix(".svg"), svg.encode())
    _write(output.with_suffix(".png"), vl_convert.svg_to_png(svg, scale=2))
    _write(output, page.getvalue().encode())
    log.info("chart %s: %s (.svg and .png beside it)", name, output)


def vegalite_version() -> str:
    """The Vega-Lite version that charts are written in, as vl-convert names it: ``6.1``."""
    return ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])


def _write(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
