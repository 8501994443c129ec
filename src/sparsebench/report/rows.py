"""Table rows that sentences point at: each has an id, which is its anchor on the page."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import polars as pl

from sparsebench.charts.data import Tables
from sparsebench.report.phrases import bounds

Row = dict[str, Any]
# Beyond this only the rows that sentences point at are on the page: a browser would take seconds to lay all out.
SHOWN_ROWS = 3000


@dataclass(frozen=True)
class Numbered:
    """Rows of each table with their ``id``: a letter for the table, and the place in it."""

    accuracy: list[Row]
    frontier: list[Row]
    effects: list[Row]
    tolerance: list[Row]
    iso_cost: list[Row]
    scaling: list[Row]
    adaptivity: list[Row]
    measurements: list[Row]
    share: float  # of dense, that counts as kept

    @classmethod
    def of(cls, tables: Tables) -> Numbered:
        """Number the rows of a run's tables."""
        every = {name: numbered(getattr(tables, name), letter) for name, letter in LETTERS.items()}
        return cls(**every, share=tables.share)


LETTERS = {
    "accuracy": "a",
    "frontier": "f",
    "effects": "e",
    "tolerance": "t",
    "iso_cost": "i",
    "scaling": "s",
    "adaptivity": "g",
    "measurements": "m",
}
# What each table is called on the page, and the columns that it shows; intervals stand beside their quantity.
SHOWN: dict[str, tuple[str, str]] = {
    "frontier": (
        "Means over tasks",
        "model length_tok phase method sparsity attention_share cost cost_share n_tasks n accuracy kept "
        "model_member_probability member_probability",
    ),
    "accuracy": (
        "By task",
        "model task length_tok phase method sparsity attention_share cost_share n accuracy difference kept signal",
    ),
    "effects": (
        "Tests against dense",
        "model task length_tok phase method sparsity n_pairs difference lost won effect_size p p_holm",
    ),
    "tolerance": (
        "Tolerated sparsity",
        "model task length_tok phase method tolerance by_mean next_sparsity n worst",
    ),
    "iso_cost": (
        "Equal cost",
        "kind length_tok phase model_a method_a sparsity_a cost_a accuracy_a model_b method_b sparsity_b cost_b "
        "accuracy_b n difference p_holm winner",
    ),
    "adaptivity": (
        "Tolerated sparsity by length",
        "model task phase method length_tok tolerated bound budget_tok kept_same_share kept_same_tokens growth n",
    ),
    "scaling": (
        "Fits",
        "phase method split term coefficient n_points n error n_held_out held_out_error naive_error noise",
    ),
    "measurements": (
        "Measured times",
        "device kind model phase method length_tok sparsity density rows time_ms spread_ms readings baseline "
        "baseline_ms speedup peak_mib",
    ),
}


def numbered(table: pl.DataFrame, letter: str) -> list[Row]:
    """Rows with ``id``: ``letter`` and the place in the table."""
    return [row | {"id": f"{letter}{i}"} for i, row in enumerate(table.to_dicts())]


@dataclass(frozen=True)
class Shown:
    """A table on the page: its heading, how many rows it has, how many of them are shown, and the rows as HTML."""

    name: str
    title: str
    rows: int
    shown: int
    html: str


def shown(rows: Numbered, cited: set[str]) -> list[Shown]:
    """The tables of the page; of large ones the rows in ``cited`` alone."""
    found = []
    for name, (title, columns) in SHOWN.items():
        every: list[Row] = getattr(rows, name)
        kept = every if len(every) <= SHOWN_ROWS else [r for r in every if r["id"] in cited]
        if every:
            found.append(Shown(name, title, len(every), len(kept), _html(kept, columns.split())))
    return found


def cited(texts: Iterable[str]) -> set[str]:
    """Ids of the rows that sentences link to."""
    return {place for text in texts for place in re.findall(r'href="#([^"]+)"', text)}


def _html(rows: list[Row], columns: list[str]) -> str:
    intervals = {c for c in columns if rows and f"{c}_low" in rows[0]}
    head = "".join(
        f'<th class="r">{c.replace("_", " ")}</th>' + ("<th class='r'>95 %</th>" if c in intervals else "")
        for c in columns
    )
    body = "".join(_line(r, columns, intervals) for r in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _line(row: Row, columns: list[str], intervals: set[str]) -> str:
    cells = []
    for column in columns:
        value = row[column]
        side = "" if isinstance(value, str) else ' class="r"'
        cells.append(f"<td{side}>{_text(column, value)}</td>")
        if column in intervals:
            cells.append(f'<td class="r">{bounds(row[f"{column}_low"], row[f"{column}_high"], digits=3)}</td>')
    marks = [word for word, on in (("control", row.get("control")), ("member", row.get("model_member"))) if on]
    kind = f' class="{" ".join(marks)}"' if marks else ""
    return f'<tr id="{row["id"]}"{kind}>{"".join(cells)}</tr>'


def _text(column: str, value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if "sparsity" in column or column in ("tolerance", "by_mean"):
            return f"{value:g}"
        return f"{value:.3f}" if 1e-3 <= abs(value) < 1000 or value == 0 else f"{value:.2e}"
    return html.escape(str(value))
