"""What was measured on a device: from ``measurements``."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
from markupsafe import Markup

from sparsebench.charts.timed import KINDS, timed
from sparsebench.report.phrases import linked, listed, place, spanned
from sparsebench.report.rows import Numbered, Row

TITLE = "What it gains in time"


def sentences(rows: Numbered) -> Iterator[Markup]:
    """One sentence per device, model, kind and phase: the longest length at its highest sparsity."""
    known = timed(pl.DataFrame(rows.measurements, infer_schema_length=None)).to_dicts() if rows.measurements else []
    places = {(r["device"], r["kind"], r["model"], r["phase"], r["rows"]) for r in known}
    for device, kind, model, phase, count in sorted(places, key=lambda p: (*p[:2], place(p[2], p[3]), p[4])):
        group = [
            r
            for r in known
            if (r["device"], r["kind"], r["model"], r["phase"], r["rows"]) == (device, kind, model, phase, count)
        ]
        longest = max(r["length_tok"] for r in group)
        top = max(r["sparsity"] for r in group if r["length_tok"] == longest)
        last = [r for r in group if r["length_tok"] == longest and r["sparsity"] == top]
        last.sort(key=lambda r: (-r["speedup"], r["method"]))
        text = Markup("On {}, {} ({}) in {}, {} tokens, {}, sparsity {}: speed relative to dense ({}) is {}").format(
            device,
            KINDS[kind],
            model,
            phase,
            f"{longest:,}",
            "1 row" if count == 1 else f"{count} rows",
            f"{top:g}",
            _median(last),
            listed([Markup("{} for <b>{}</b>").format(_speed(r), r["method"]) for r in last]),
        )
        crossings = [f"{r['method']} from {r['length_tok']:,}" for r in _crossings(group, top)]
        if crossings and len({r["length_tok"] for r in group}) > 1:
            text += Markup("; faster than dense, of the lengths timed, {}").format(listed(crossings))
        yield text + "."


def _median(rows: list[Row]) -> str:
    readings = [r["readings"] for r in rows]
    text = f"median of {spanned(readings)} {'timing' if set(readings) == {1} else 'timings'}"
    return text if all(r["spread_ms"] is None for r in rows) else f"{text}, ± half their interquartile range"


def _speed(row: Row) -> Markup:
    if row["spread_ms"] is None:
        return linked(f"{row['speedup']:.3g}", row)
    return linked(f"{row['speedup']:.3g} ± {row['speedup'] * row['spread_ms'] / row['time_ms']:.1g}", row)


def _crossings(group: list[Row], sparsity: float) -> list[Row]:
    """Per method the shortest length from which on it is faster than dense, by more than the spread, at all timed."""
    found = []
    for method in sorted({r["method"] for r in group}):
        lines = [r for r in group if r["method"] == method and r["sparsity"] == sparsity]
        faster = None
        for row in sorted(lines, key=lambda r: -r["length_tok"]):
            if row["spread_ms"] is None or row["time_ms"] + row["spread_ms"] >= row["baseline_ms"]:
                break
            faster = row
        if faster is not None:
            found.append(faster)
    return found
