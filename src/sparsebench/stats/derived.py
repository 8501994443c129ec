"""Which tables are made from which, and how: one entry per file in ``results/tables`` that is made from others."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsebench.errors import unknown
from sparsebench.spec import MethodSpecs

if TYPE_CHECKING:
    import pyarrow as pa

    from sparsebench.entries import Analysis

# Table -> the tables that it is made from. Its module is the one of that name beside this file.
INPUTS: dict[str, tuple[str, ...]] = {
    "accuracy": ("scores", "models"),
    "effects": ("accuracy",),
    "tolerance": ("accuracy",),
    "depth": ("scores", "accuracy"),
    "frontier": ("accuracy", "models"),
    "iso_cost": ("accuracy", "models"),
    "scaling": ("accuracy", "models"),
    "scaling_points": ("accuracy", "models"),
    "adaptivity": ("accuracy",),
    "cost_check": ("measurements", "models"),
}


def inputs_of(name: str) -> tuple[str, ...]:
    """Tables that ``name`` is made from; ``UserError`` for a table that is not made from others."""
    if name not in INPUTS:
        raise unknown("table", name, INPUTS)
    return INPUTS[name]


def module_of(name: str) -> Path:
    """The module that makes a table, for digests of its source."""
    return Path(__file__).with_name(f"{name}.py")


def derive(name: str, tables: Mapping[str, pa.Table], analysis: Analysis, methods: MethodSpecs) -> pa.Table:
    """Make one table from those that :func:`inputs_of` names.

    The function ``NAME_table`` of the table's module is given what its parameters name: tables, the keys of
    ``analysis``, ``methods``, ``pricing`` and ``tokenizers``.

    Parameters
    ----------
    methods
        The config's methods, for what their estimates cost.
    """
    from sparsebench.cost.models import tokenizers_of

    make = getattr(import_module(f"sparsebench.stats.{name}"), f"{name}_table")
    wanted = signature(make).parameters
    given: dict[str, Any] = {**tables, **analysis.model_dump(), "methods": methods}
    if "pricing" in wanted:
        from sparsebench.cost.pricing import Pricing

        given["pricing"] = Pricing.of(tables["models"], methods, analysis.flop_per_byte)
    if "tokenizers" in wanted:
        given["tokenizers"] = tokenizers_of(tables["models"])
    table: pa.Table = make(**{key: given[key] for key in wanted})
    return table
