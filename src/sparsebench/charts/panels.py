"""Small multiples over the sparsity of each method: a panel per task and length, a block per model and phase."""

from __future__ import annotations

import re
from typing import Any

import altair as alt
import polars as pl

from sparsebench.charts.theme import INK, Look, in_order
from sparsebench.stats.configuration import DENSE

PHASES = {"prefill": "sparse prefill, dense decode", "decode": "dense prefill, sparse decode", "both": "sparse in both"}
# Methods at the same sparsity stand beside each other, so that their intervals can be told apart.
DODGE = 0.035


def nothing(why: str) -> Any:
    """A chart that says why there is nothing to draw."""
    return alt.Chart(alt.InlineData(values=[{"why": why}])).mark_text(size=14, color=INK).encode(text="why:N")


def budget_axis(frame: pl.DataFrame, title: str = "sparsity") -> alt.X:
    """Horizontal channel: sparsity, spaced by the logarithm of 1 / budget: 0.9 and 0.95 are as far apart as 0, 0.5."""
    ticks = sorted(frame.filter(pl.col("phase") != DENSE)["sparsity"].unique())
    values = [1 / (1 - s) for s in ticks]
    return alt.X(
        "x:Q",
        title=title,
        scale=alt.Scale(type="log", domain=[values[0] / 1.25, values[-1] * 1.25], nice=False),
        axis=alt.Axis(values=values, labelExpr="format(1 - 1 / datum.value, '.3~f')", grid=False),
    )


def placed(frame: pl.DataFrame) -> pl.DataFrame:
    """Add ``x``: 1 / budget, moved a little sideways per method within its phase."""
    methods = in_order(frame["method"].unique())
    middle = (len(methods) - 1) / 2
    shift = {m: (1 + DODGE) ** (i - middle) for i, m in enumerate(methods)}
    return frame.with_columns(x=1 / (1 - pl.col("sparsity")) * pl.col("method").replace_strict(shift))


def selection(block: str) -> Any:
    """Click a method in the legend of ``block`` to see it alone; blocks of one chart need names of their own."""
    return alt.selection_point(name=re.sub(r"\W", "_", f"chosen_{block}"), fields=["method"], bind="legend")


def blocks(frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame, pl.DataFrame]]:
    """(title, sparse lines, dense lines) per model and phase that has any sparse line."""
    found = []
    models = sorted(frame["model"].unique())
    for model in models:
        mine = frame.filter(pl.col("model") == model)
        for phase, words in PHASES.items():
            sparse = mine.filter(pl.col("phase") == phase)
            if sparse.height:
                cells = sparse.select("task", "length_tok").unique()
                dense = mine.filter(pl.col("phase") == DENSE).join(cells, on=["task", "length_tok"], how="semi")
                found.append((f"{model}: {words}", placed(sparse), dense))
    return found


def multiples(
    title: str,
    sparse: pl.DataFrame,
    layers: list[Any],
    data: pl.DataFrame,
    look: Look,
    values: list[str],
    name: str,
) -> Any:
    """One block: lines with intervals over ``layers`` (drawn beneath), a panel per task (rows) and length (columns).

    Parameters
    ----------
    sparse
        Lines of one model and phase, with ``x``.
    layers
        Charts without data, such as the dense line.
    data
        What all layers read; each filters its own rows.
    values, name
        Columns of the value and of its interval's ends; what the vertical axis is called.
    """
    value, low, high = values
    chosen = selection(title)
    base = alt.Chart().transform_filter(f"datum.phase != '{DENSE}'")
    shown = alt.when(chosen).then(alt.value(1)).otherwise(alt.value(0.12))
    looks = look.encodings(sparse["method"].unique().to_list())
    tooltip = [
        alt.Tooltip("method:N"),
        alt.Tooltip("task:N"),
        alt.Tooltip("length_tok:Q", title="length (tokens)", format=","),
        alt.Tooltip("sparsity:Q"),
        alt.Tooltip("cost:Q", title="measured density", format=".3f"),
        alt.Tooltip(f"{value}:Q", title=name, format=".3f"),
        alt.Tooltip(f"{low}:Q", title="95 % from", format=".3f"),
        alt.Tooltip(f"{high}:Q", title="to", format=".3f"),
        alt.Tooltip("n:Q", title="samples"),
    ]
    x = budget_axis(sparse)
    line = base.mark_line(strokeWidth=2).encode(
        x=x, y=f"{value}:Q", color=looks["color"], strokeDash=looks["strokeDash"], opacity=shown
    )
    rule = base.mark_rule(strokeWidth=1.3).encode(
        x=x, y=alt.Y(f"{low}:Q", title=name), y2=f"{high}:Q", color=looks["color"], opacity=shown
    )
    point = base.mark_point(size=45, filled=True).encode(
        x=x, y=f"{value}:Q", color=looks["color"], shape=looks["shape"], opacity=shown, tooltip=tooltip
    )
    columns = sparse["length_tok"].n_unique()
    width = max(150, min(420, 900 // columns - 40))
    return (
        # Altair names views by the layer that holds the parameter, and looks for that name on the first one.
        alt.layer(layers[0].add_params(chosen), *layers[1:], rule, line, point)
        .properties(width=width, height=170)
        .facet(
            row=alt.Row("task:N", title=None, header=alt.Header(labelOrient="left", labelAngle=-90)),
            column=alt.Column(
                "length_tok:O",
                title=None,
                header=alt.Header(labelExpr="format(datum.value, ',') + ' tokens'", labelOrient="top"),
            ),
            data=data,
            title=title,
        )
    )


def stacked(charts: list[Any]) -> Any:
    """Blocks one under the other, each with its own legend."""
    return alt.vconcat(*charts, spacing=28).resolve_scale(
        color="independent", shape="independent", strokeDash="independent"
    )
