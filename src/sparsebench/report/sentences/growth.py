"""Whether a budget must grow with the prompt: from ``adaptivity``."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from sparsebench.report.phrases import PHASES, bounds, linked, listed, threshold
from sparsebench.report.rows import Numbered, Row

TITLE = (
    "Whether a budget must grow with the prompt: tokens needed grow as length to a power; at 0 a fixed number of "
    "tokens does, at 1 a fixed share is needed"
)


def sentences(rows: Numbered) -> Iterator[Markup]:
    """One sentence per model and phase with a trend over lengths."""
    known = [r for r in rows.adaptivity if r["task"] == "all" and not r["control"] and r["growth"] is not None]
    for model, place in sorted({(r["model"], list(PHASES).index(r["phase"])) for r in known}):
        phase = list(PHASES)[place]
        group = [r for r in known if r["model"] == model and r["phase"] == phase]
        # The growth of a method is the same in all its rows: the last one stands for it.
        methods = {r["method"]: r for r in sorted(group, key=lambda r: r["length_tok"])}
        lengths = sorted({r["length_tok"] for r in group})
        parts = [_growth(methods[m]) for m in sorted(methods)]
        yield Markup("{} of <b>{}</b>, {} to {} tokens, to keep {} of dense: {}.").format(
            PHASES[phase], model, f"{lengths[0]:,}", f"{lengths[-1]:,}", threshold(group[0]["share"]), listed(parts)
        )


def _growth(row: Row) -> Markup:
    low, high = row["growth_low"], row["growth_high"]
    figure = linked(f"{row['growth']:.2f} {bounds(low, high)}", row)
    return Markup("{} for <b>{}</b>{}").format(figure, row["method"], _meaning(low, high))


def _meaning(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return ""
    if low > 0 and high < 1:
        return " (between the two)"
    if low > 0:
        return " (a fixed number does not do)"
    if high < 1:
        return " (less than a fixed share does)"
    return " (undecided)"
