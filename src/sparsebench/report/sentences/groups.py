"""The methods against each other at one length: from ``frontier``, a group per model, phase and length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from sparsebench.report.phrases import PHASES, accuracy, kept, linked, listed, name, place, plural, share, threshold
from sparsebench.report.rows import Numbered, Row
from sparsebench.stats.configuration import DENSE
from sparsebench.stats.intervals import bounded_difference_interval


@dataclass(frozen=True)
class Findings:
    """Sentences about one model, phase and length, from one group of the frontier table."""

    model: str
    phase: str
    length_tok: int
    sentences: tuple[Markup, ...]

    @property
    def title(self) -> str:
        """Heading of the sentences."""
        return f"{PHASES[self.phase]}, {self.length_tok:,} tokens"


def findings(rows: Numbered) -> list[Findings]:
    """What the frontier table says, group by group: models in order, prefill before decode, short before long."""
    groups: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows.frontier:
        groups.setdefault((row["model"], row["phase"], row["length_tok"]), []).append(row)
    ordered = sorted(groups, key=lambda g: (place(g[0], g[1]), g[2]))
    return [Findings(*group, tuple(_sentences(groups[group], rows.share))) for group in ordered]


def _sentences(rows: list[Row], least: float) -> Iterator[Markup]:
    able = [r for r in rows if r["method"] != DENSE and not r["control"] and r["model_complete"]]
    methods = [r for r in able if r["kept"] is not None]
    if methods:
        top = max(r["sparsity"] for r in methods)
        yield _ranking([r for r in methods if r["sparsity"] == top])
        yield from _tolerance(methods, next((r for r in rows if r["method"] == DENSE), None), least)
    yield from _controls(rows, methods)
    members = sorted((r for r in rows if r["model_member"]), key=lambda r: (r["cost"], r["method"]))
    if members:
        parts = [
            Markup("{} (cost {} of dense, accuracy {})").format(
                name(r, sparsity=True), f"{r['cost_share']:.2f}", accuracy(r)
            )
            for r in members
        ]
        yield Markup("Pareto set, from cheap to dear: {}.").format(listed(parts))


def _ranking(rows: list[Row]) -> Markup:
    ranked = sorted(rows, key=lambda r: -r["kept"])
    best, worst = ranked[0], ranked[-1]
    where = f"At sparsity {best['sparsity']:g} ({plural(best['n_tasks'], 'task')}, n = {best['n']:,})"
    if len(ranked) == 1:
        return Markup("{}, {} keeps {} of dense accuracy.").format(where, name(best), kept(best))
    if best["kept"] == worst["kept"]:
        return Markup("{}, {} all keep {} of dense accuracy.").format(
            where, listed([name(r) for r in ranked]), kept(best)
        )
    apart = best["kept_low"] > worst["kept_high"]
    verdict = "their intervals do not overlap" if apart else "their intervals overlap, so this is no ranking"
    return Markup("{}, {} keeps most of dense accuracy, {}, and {} least, {}; {}.").format(
        where, name(best), kept(best), name(worst), kept(worst), verdict
    )


def _tolerance(rows: list[Row], dense: Row | None, least: float) -> Iterator[Markup]:
    for key, by in (("kept_low", "by the lower end of the interval"), ("kept", "by the mean alone")):
        parts = []
        for method in sorted({r["method"] for r in rows}):
            held = _held([r for r in rows if r["method"] == method], key, least)
            level = linked(f"{held['sparsity']:g}", held) if held is not None else Markup("none")
            parts.append(Markup("<b>{}</b> {}").format(method, level))
        text = f"Highest sparsity up to which at least {threshold(least)} of dense is kept, {by}: "
        yield Markup("{}{}.").format(text, listed(parts))
    if dense is not None and (most := _most_that_can_be_shown(dense)) < least:
        yield Markup(
            "With n = {} a method that loses nothing at all is shown to keep {} of dense, no more: it takes more "
            "samples to show that any keeps {}."
        ).format(linked(f"{dense['n']:,}", dense), share(most), threshold(least))


def _most_that_can_be_shown(dense: Row) -> float:
    """Lower end of the share kept by a method whose every score equals dense, tasks taken as equally large."""
    low, _ = bounded_difference_interval(np.zeros(round(dense["n"] / dense["n_tasks"])))
    return float(1 + low / np.sqrt(dense["n_tasks"]) / dense["accuracy"])


def _held(rows: list[Row], key: str, least: float) -> Row | None:
    """The highest sparsity at which, as at all lower ones run, ``key`` reaches the share to be kept."""
    best = None
    for row in sorted(rows, key=lambda r: r["sparsity"]):
        if row[key] < least:
            break
        best = row
    return best


def _controls(rows: list[Row], methods: list[Row]) -> Iterator[Markup]:
    top = max((r["sparsity"] for r in methods), default=None)
    known = {r["method"]: r for r in rows if r["control"] and r["sparsity"] == top and r["kept"] is not None}
    said = [Markup("{} {}").format(words, kept(known[c])) for c, words in _CONTROLS.items() if c in known]
    if said:
        yield Markup("At sparsity {:g}, {}.").format(top, listed(said))
    by_place = {(r["method"], r["sparsity"]): r for r in rows}
    above = [
        r
        for r in methods
        if (oracle := by_place.get(("oracle", r["sparsity"]))) is not None
        and r["accuracy_low"] > oracle["accuracy_high"]
    ]
    if above:
        yield Markup("Clearly above the oracle, which deserves a look: {}.").format(
            listed([Markup("{} {}").format(name(r, sparsity=True), accuracy(r)) for r in above])
        )


_CONTROLS = {"oracle": "the oracle (best choice) keeps", "random": "random selection keeps"}
