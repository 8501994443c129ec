"""Whether a budget must grow with the prompt: from ``adaptivity``."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from sparsebench.report.phrases import PHASES, bounds, linked, listed, places, threshold
from sparsebench.report.rows import Numbered, Row

TITLE = (
    "Whether a budget must grow with the prompt: tokens needed grow as length to a power; at 0 a fixed number of "
    "tokens does, at 1 a fixed share is needed"
)


def sentences(rows: Numbered) -> Iterator[Markup]:
    """One sentence per model and phase that was run at several lengths."""
    known = [r for r in rows.adaptivity if r["task"] == "all" and not r["control"] and r["n_lengths"] > 1]
    for model, phase in places(known):
        group = [r for r in known if r["model"] == model and r["phase"] == phase]
        methods: dict[str, list[Row]] = {}
        for row in sorted(group, key=lambda r: (r["method"], r["length_tok"])):
            methods.setdefault(row["method"], []).append(row)
        lengths = sorted({r["length_tok"] for r in group})
        # The growth of a method is the same in all its rows: the last one stands for it.
        parts = [_growth(lines[-1]) for lines in methods.values() if lines[-1]["growth"] is not None]
        text = Markup("{} of <b>{}</b>, {} to {} tokens, to keep {} of dense: {}").format(
            PHASES[phase],
            model,
            f"{lengths[0]:,}",
            f"{lengths[-1]:,}",
            threshold(group[0]["share"]),
            listed(parts) if parts else "no growth is known",
        )
        for bound, why in _BEYOND.items():
            names = [m for m, lines in methods.items() if any(r["bound"] == bound for r in lines)]
            if names:
                text += Markup("; for {} {}").format(listed([Markup("<b>{}</b>").format(n) for n in names]), why)
        yield text + "."


_BEYOND = {
    "below": "it is kept at no sparsity run at some length, so what would do is not known",
    "at least": "it is kept at every sparsity run at some length, so how few tokens do is not known",
}


def _growth(row: Row) -> Markup:
    low, high = row["growth_low"], row["growth_high"]
    figure = linked(f"{row['growth']:z.2f} {bounds(low, high)}", row)
    return Markup("{} for <b>{}</b>{}").format(figure, row["method"], _meaning(low, high))


def _meaning(low: float | None, high: float | None) -> str:
    more, less = low is not None and low > 0, high is not None and high < 1
    if more and less:
        return " (between the two)"
    if more:
        return " (a fixed number does not do)"
    return " (less than a fixed share does)" if less else " (undecided)"
