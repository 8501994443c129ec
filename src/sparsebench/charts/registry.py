"""Charts are found by folder: a file in ``gallery`` is a chart named like the file."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from sparsebench.charts.data import Nothing, Tables
from sparsebench.errors import UserError, unknown

GALLERY = Path(__file__).parent / "gallery"


class ChartModule(Protocol):
    """What a file in ``gallery`` offers.

    ``NEEDS`` names the tables that it reads. ``build`` returns an Altair chart, or ``Nothing`` with the reason.
    """

    NAME: str
    TITLE: str
    NEEDS: tuple[str, ...]
    CAPTION: str

    def build(self, tables: Tables) -> Any: ...


def chart_names() -> list[str]:
    """Names of all charts, in alphabetical order; imports none of them."""
    return sorted(path.stem for path in GALLERY.glob("[!_]*.py"))


def chart_file(name: str) -> Path:
    """The file that draws the chart ``name``; ``UserError`` if there is none."""
    if name not in chart_names():
        raise unknown("chart", name, chart_names())
    return GALLERY / f"{name}.py"


def load_chart(name: str) -> ChartModule:
    """The module of the chart ``name``; ``UserError`` if there is none."""
    return cast(ChartModule, import_module(f"sparsebench.charts.gallery.{chart_file(name).stem}"))


def spec_of(name: str, tables: Tables) -> dict[str, Any] | Nothing:
    """The Vega-Lite spec of the chart ``name``, or why there is none.

    Altair holds each part of a chart against its schema as it is made, which takes longer than all the rest. Nothing a
    user gives is checked by that: the tests do it for every chart.
    """
    from altair.utils.schemapi import debug_mode

    with debug_mode(False):
        made = load_chart(name).build(tables)
        return made if isinstance(made, Nothing) else made.to_dict(validate=False)


def chart_constant(name: str, constant: str) -> Any:
    """``TITLE``, ``NEEDS`` or ``CAPTION`` of the chart ``name``, read without importing any drawing."""
    for node in ast.parse(chart_file(name).read_text()).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == constant for t in node.targets):
            return ast.literal_eval(node.value)
    raise UserError(f"{chart_file(name)}: states no {constant}; allowed: a module that describes its chart")
