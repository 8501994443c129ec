"""Draw a chart into files."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup

from sparsebench.charts.data import Nothing, load_tables
from sparsebench.charts.packed import library, packed_chart, vegalite_version
from sparsebench.charts.registry import ChartModule, load_chart, spec_of
from sparsebench.charts.style import FONT, notice

log = logging.getLogger("sparsebench")


def render_chart(
    name: str, tables_dir: Path, output: Path, measured: Sequence[Path] = (), bundle: Path | None = None
) -> None:
    """Draw the chart ``name`` from the tables in a folder.

    Parameters
    ----------
    name
        As in :func:`sparsebench.charts.registry.chart_names`.
    tables_dir, measured
        As in :func:`sparsebench.charts.data.load_tables`.
    output
        Where the interactive page goes (``.html``, needs no network); ``.svg`` and ``.png`` are written beside it. A
        chart that has nothing to show says why in all three.
    bundle
        File with the drawing library, which is made anew without it.

    Raises
    ------
    UserError
        If there is no such chart, or a table is missing or damaged.
    """
    module = load_chart(name)
    made = spec_of(name, load_tables(tables_dir, measured, module.NEEDS))
    spec = notice(made.reason).to_dict() if isinstance(made, Nothing) else made
    svg = vl_convert.vegalite_to_svg(spec, vl_version=vegalite_version())
    _write(output.with_suffix(".svg"), svg.encode())
    _write(output.with_suffix(".png"), vl_convert.svg_to_png(svg, scale=2))
    _write(output, _page(module, made, bundle).encode())
    said = f"nothing to show: {made.reason}" if isinstance(made, Nothing) else "(.svg and .png beside it)"
    log.info("chart %s: %s %s", name, output, said)


def _page(module: ChartModule, made: dict[str, Any] | Nothing, bundle: Path | None) -> str:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    return template.render(
        title=module.TITLE,
        caption=module.CAPTION,
        font=Markup(FONT),
        reason=made.reason if isinstance(made, Nothing) else "",
        library="" if isinstance(made, Nothing) else library(bundle),
        spec="" if isinstance(made, Nothing) else packed_chart(made, "chart"),
    )


def _write(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
