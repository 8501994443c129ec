"""Draws charts: an interactive page that needs no network, with .svg and .png beside it."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from sparsebench.charts.data import Tables
from sparsebench.charts.registry import chart_file
from sparsebench.charts.theme import themed


def chart_module(name: str) -> Any:
    """The module of a chart: ``TITLE``, ``CAPTION``, ``ORDER`` and ``build``; ``UserError`` for an unknown name."""
    return importlib.import_module(f"sparsebench.charts.gallery.{chart_file(name).stem}")


def build_chart(name: str, tables: Tables) -> Any:
    """The Altair chart ``name`` of ``tables``, in this project's looks."""
    return themed(chart_module(name).build(tables))


def render_chart(name: str, tables_dir: Path, output: Path) -> None:
    """Draw a chart into ``output`` (.html), and as .svg and .png beside it.

    Parameters
    ----------
    name
        A chart of the gallery.
    tables_dir
        Folder of the tables.
    output
        The interactive page; each of the three files is written at once or not at all.
    """
    chart = build_chart(name, Tables(tables_dir))
    output.parent.mkdir(parents=True, exist_ok=True)
    for suffix, options in ((".svg", {}), (".png", {"scale_factor": 2}), (".html", {"inline": True})):
        target = output.with_suffix(suffix)
        partial = target.with_name(f".{target.stem}.{os.getpid()}{suffix}")
        try:
            chart.save(str(partial), **options)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
