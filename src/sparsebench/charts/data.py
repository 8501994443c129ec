"""What charts and the report are made from, and what a chart says when there is nothing to draw."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsebench.entries import Analysis
from sparsebench.errors import UserError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from sparsebench.methods.base import Axes


@dataclass(frozen=True)
class Nothing:
    """What a chart gives instead of a drawing: why there is none, as a sentence."""

    reason: str


def schema_of(name: str) -> pa.Schema:
    """The schema of the table ``name``."""
    from sparsebench import tables

    return getattr(tables, name.upper())


def _empty(name: str) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame(pl.from_arrow(schema_of(name).empty_table()))


@dataclass(frozen=True)
class Tables:
    """The tables of a run, by name, each with the schema of that name; one that was not made is empty.

    ``config`` is the resolved config of the run, from the metadata of ``accuracy``; empty where it is not recorded.
    """

    accuracy: pl.DataFrame
    frontier: pl.DataFrame
    models: pl.DataFrame = field(default_factory=lambda: _empty("models"))
    effects: pl.DataFrame = field(default_factory=lambda: _empty("effects"))
    tolerance: pl.DataFrame = field(default_factory=lambda: _empty("tolerance"))
    depth: pl.DataFrame = field(default_factory=lambda: _empty("depth"))
    iso_cost: pl.DataFrame = field(default_factory=lambda: _empty("iso_cost"))
    scaling: pl.DataFrame = field(default_factory=lambda: _empty("scaling"))
    scaling_points: pl.DataFrame = field(default_factory=lambda: _empty("scaling_points"))
    adaptivity: pl.DataFrame = field(default_factory=lambda: _empty("adaptivity"))
    measurements: pl.DataFrame = field(default_factory=lambda: _empty("measurements"))
    cost_check: pl.DataFrame = field(default_factory=lambda: _empty("cost_check"))
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The share of dense that counts as kept: the config's, where it is recorded."""
        return float(self.config.get("analysis", {}).get("share", Analysis().share))

    @property
    def methods(self) -> list[str]:
        """All methods of the study, which decide who looks like what in every chart."""
        return self.accuracy["method"].unique().to_list()


def table_names() -> list[str]:
    """Names of the tables that a run may leave for charts and the report."""
    return [f.name for f in fields(Tables) if f.name != "config"]


def load_tables(folder: Path, measured: Sequence[Path] = (), needs: Collection[str] | None = None) -> Tables:
    """Read the tables of a run.

    Parameters
    ----------
    folder
        Has ``accuracy.arrow`` and ``frontier.arrow``, and any of the others.
    measured
        CSV files of measurements made elsewhere, each with the columns of ``measurements``; those of methods that were
        run follow the run's own, there and in ``cost_check``.
    needs
        Tables to read besides these two; all by default.

    Raises
    ------
    UserError
        If one of the two is missing, or any table is damaged.
    """
    import polars as pl

    from sparsebench.stats.configuration import DENSE
    from sparsebench.tables import read_table

    found: dict[str, Any] = {}
    wanted = set(table_names()) if needs is None else {"accuracy", "frontier", *needs}
    if "cost_check" in wanted:
        wanted.add("models")  # what measurements from elsewhere are priced with
    for name in sorted(wanted):
        path = folder / f"{name}.arrow"
        if name in ("accuracy", "frontier") or path.exists():
            table = read_table(path, schema_of(name))
            found[name] = pl.DataFrame(pl.from_arrow(table))
            if name == "accuracy":
                found["config"] = json.loads((table.schema.metadata or {}).get(b"config", b"{}"))
    run = found["accuracy"].select("phase", "method").unique()
    # Dense is measured in each phase, and is a phase of its own in accuracy.
    run = pl.concat([run, run.select("phase", method=pl.lit(DENSE))]).unique()
    for path in measured:
        timed = _read_measured(path).join(run, on=["phase", "method"], how="semi", maintain_order="left")
        if "measurements" in wanted:
            found["measurements"] = pl.concat([found.get("measurements", _empty("measurements")), timed])
        if "cost_check" in wanted:
            more = _checked(timed, found.get("models", _empty("models")), found.get("config", {}))
            found["cost_check"] = pl.concat([found.get("cost_check", _empty("cost_check")), more])
    return Tables(**found)


def _checked(measurements: pl.DataFrame, models: pl.DataFrame, config: Mapping[str, Any]) -> pl.DataFrame:
    import polars as pl

    from sparsebench.names import recorded_methods
    from sparsebench.stats.cost_check import cost_check_table

    table = cost_check_table(measurements.to_arrow(), models.to_arrow(), recorded_methods(config))
    return pl.DataFrame(pl.from_arrow(table))


def _read_measured(path: Path) -> pl.DataFrame:
    import polars as pl

    kinds = _empty("measurements").schema
    try:
        frame = pl.read_csv(path, infer_schema_length=None)
        return frame.select(pl.col(name).cast(kind) for name, kind in kinds.items())
    except (OSError, pl.exceptions.PolarsError) as error:
        allowed = ", ".join(kinds)
        raise UserError(f"{path}: not a table of measurements ({error}); allowed: columns {allowed}") from None


def method_axes(tables: Tables) -> dict[tuple[str, str], Axes]:
    """The four axes of each method of the run, by phase and label.

    Labels are those of the config that the tables carry; where they carry none, labels that are names of methods.
    """
    from sparsebench.config import parse_config
    from sparsebench.methods import load_method, method_classes
    from sparsebench.names import PHASES, method_spec

    if not tables.config:
        return {key: cls.axes for key, cls in method_classes().items()}
    config = parse_config(tables.config)
    return {
        (phase, label): load_method(method_spec(config, phase, label), phase).axes
        for phase in PHASES
        for label in getattr(config, phase)
        if label != "dense"
    }
