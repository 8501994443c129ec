"""Which tables are made from which, and how: one entry per file in ``results/tables`` that is made from others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from sparsebench.config import Analysis
from sparsebench.errors import unknown
from sparsebench.spec import MethodSpecs

# Table -> the tables that it is made from. Its module is the one of that name beside this file.
INPUTS: dict[str, tuple[str, ...]] = {
    "accuracy": ("scores", "models"),
    "effects": ("accuracy",),
    "tolerance": ("accuracy",),
    "frontier": ("accuracy", "models"),
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

    Parameters
    ----------
    methods
        The config's methods, for what their estimates cost.
    """
    from sparsebench.cost.models import tokenizers_of

    if name == "accuracy":
        from sparsebench.cost.pricing import Pricing
        from sparsebench.stats.accuracy import accuracy_table

        pricing = Pricing.of(tables["models"], methods, analysis.flop_per_byte)
        return accuracy_table(tables["scores"], pricing, analysis.resamples)
    if name == "effects":
        from sparsebench.stats.effects import effects_table

        return effects_table(tables["accuracy"], analysis.permutations)
    if name == "tolerance":
        from sparsebench.stats.tolerance import tolerance_table

        return tolerance_table(tables["accuracy"], analysis.share)
    if name == "frontier":
        from sparsebench.stats.frontier import frontier_table

        return frontier_table(tables["accuracy"], tokenizers_of(tables["models"]), analysis.resamples)
    raise unknown("table", name, INPUTS)
