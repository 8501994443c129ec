"""Whether time falls as the cost model says."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.curves import Measure, Methods, method_curves, tip
from sparsebench.charts.data import Nothing, Tables
from sparsebench.charts.style import drawn, length_label, panel_width, stacked
from sparsebench.charts.timed import KINDS
from sparsebench.stats.configuration import is_control

NAME = "cost_check"
TITLE = "Time predicted and measured"
NEEDS = ("accuracy", "cost_check")
CAPTION = (
    "Across: what the cost model expects of dense attention's time, from FLOPs in prefill and bytes in decode, at the "
    "measured density and with what selection takes. Up: what was measured, as a share of the fastest dense backend in "
    "the same run. On the grey line the two agree; above it a method is slower than its work explains: kernels that "
    "reach less of the device, or selection that is bound by other things than FLOPs. Points of a method are its "
    "sparsities, the number n of them is in the tooltip. Each block names its device."
)

COLUMNS = (
    "method sparsity length length_tok density cost_share time_share time_share_low time_share_high time_ms excess n"
)
TIME = Measure("time_share", "measured / dense", format="~g", kind="log")


def build(tables: Tables) -> Any:
    """One block per device, kind, model, phase and cache: a panel per length."""
    control = pl.col("method").map_elements(is_control, pl.Boolean)
    known = tables.cost_check.filter((pl.col("sparsity") > 0) & (pl.col("cost_share") > 0)).filter(~control)
    if known.is_empty():
        return Nothing("No times were measured that the cost model prices.")
    place = ["device", "kind", "model", "phase", "cache"]
    same = {f"time_share_{end}": pl.col("time_share") for end in ("low", "high")}
    known = known.with_columns(n=pl.len().over(*place, "method", "length_tok"), length=length_label(), **same)
    methods = Methods(sorted({*tables.methods, *known["method"]}), known["method"].unique().to_list())
    groups = known.sort("length_tok", "method", "sparsity").partition_by(place, maintain_order=True)
    return stacked([_panels(group, methods) for group in groups])


def _panels(lines: pl.DataFrame, methods: Methods) -> Any:
    first = lines.row(0, named=True)
    title = (
        f"{first['device']} · {KINDS[first['kind']]}, {first['model']} · {first['phase']}"
        f"{', compacted cache' if first['cache'] == 'compacted' else ''}"
    )
    costs, ends = [1.0, *lines["cost_share"]], [1.0, *lines["cost_share"], *lines["time_share"]]
    across = [min(costs) / 1.3, max(costs) * 1.3]
    x_scale = alt.Scale(type="log", domain=across, nice=False)
    x = alt.X("cost_share:Q", title="expected / dense", scale=x_scale, axis=alt.Axis(format="~g", tickCount=4))
    y = TIME.spanning(lines, min(ends) / 1.3, max(ends) * 1.3)
    tips = [
        tip("method:N"),
        tip("sparsity"),
        tip("length_tok"),
        tip("density", "measured density", ".3f"),
        tip("cost_share", "expected share of dense", ".3~g"),
        tip("time_share", "measured share of dense", ".3~g"),
        tip("excess", "measured over expected", ".2f"),
        tip("time_ms", "ms", ".4~g"),
        tip("n"),
    ]
    ideal = (
        alt.Chart(alt.Data(values=[{"at": end} for end in across]))
        .mark_line(color="#999", strokeWidth=1)
        .encode(x=alt.X("at:Q", scale=x_scale), y=alt.Y("at:Q", scale=y.scale))
    )
    layers = method_curves(x, y, methods, tips, under=lambda _: [ideal], order="sparsity:Q")
    panels = lines["length"].unique(maintain_order=True).to_list()
    panel = alt.layer(*layers, data=drawn(lines, COLUMNS)).properties(width=panel_width(len(panels)), height=220)
    return panel.facet(column=alt.Column("length:N", sort=panels, title=None), title=title)
