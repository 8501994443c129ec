"""Draw a chart into files."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

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
    output.parent.mkdir(parents=True, exist_ok=True)
    for suffix, options in ((".svg", {}), (".png", {"scale_factor": 2}), (".html", {"inline": True})):
        target = output.with_suffix(suffix)
        partial = target.with_name(f".{target.stem}.{os.getpid()}{suffix}")
        try:
            chart.save(str(partial), **options)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    log.info("chart %s: %s (.svg and .png beside it)", name, output)
