"""How much sparsity is borne at the longest length of each model: from ``frontier``, and ``accuracy`` for the tasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from sparsebench.report.phrases import PHASES, kept, name, places, plural, task_kept, threshold
from sparsebench.report.rows import Numbered, Row
from sparsebench.stats.configuration import DENSE

TITLE = "How much sparsity is borne, at the longest prompts"
ByConfiguration = dict[tuple[Any, ...], list[Row]]
_CONFIGURATION = ("model", "length_tok", "prefill", "prefill_sparsity", "decode", "decode_sparsity")


def sentences(rows: Numbered) -> Iterator[Markup]:
    """One sentence per model and phase."""
    accuracy = _by_configuration(rows.accuracy)
    for model, phase in places(rows.frontier):
        group = [r for r in rows.frontier if r["model"] == model and r["phase"] == phase]
        longest = max(r["length_tok"] for r in group)
        group = [r for r in group if r["length_tok"] == longest]
        methods = [r for r in group if r["method"] != DENSE and not r["control"] and _tasks(r, accuracy)]
        if methods:
            yield _sentence(model, phase, methods, accuracy, rows.share)


def _sentence(model: str, phase: str, methods: list[Row], accuracy: ByConfiguration, share: float) -> Markup:
    where = Markup("{} of <b>{}</b> at {} tokens: ").format(PHASES[phase], model, f"{methods[0]['length_tok']:,}")
    held = [r for r in methods if r["kept"] >= share]
    if not held:
        best = max(methods, key=lambda r: (r["kept"], -r["sparsity"]))
        text = where + Markup("nothing run keeps {} of dense; {} comes nearest with {} over {}").format(
            threshold(share), name(best, sparsity=True), kept(best), _over(best, _tasks(best, accuracy))
        )
        open_ = best["kept_high"] is not None and best["kept_high"] >= share
        return text + ("; its interval reaches above, so more samples may say otherwise." if open_ else ".")
    best = max(held, key=lambda r: (r["sparsity"], r["kept"]))
    tasks = _tasks(best, accuracy)
    text = where + Markup("{} keeps {} of dense over {}, the highest sparsity at which any method keeps {}").format(
        name(best, sparsity=True), kept(best), _over(best, tasks), threshold(share)
    )
    if len(tasks) > 1:
        good = sum(r["kept"] >= share for r in tasks)
        text += Markup("; it does so on {} of {} tasks, worst on <b>{}</b>: {}").format(
            good, len(tasks), tasks[0]["task"], task_kept(tasks[0])
        )
    sure = best["kept_low"] is not None and best["kept_low"] >= share
    return text + ("." if sure else Markup("; its interval reaches below, so more samples may say otherwise."))


def _over(best: Row, tasks: list[Row]) -> str:
    """The tasks averaged, and how many of them tell something of this model where not all do."""
    few = "" if len(tasks) == best["n_tasks"] else f", {len(tasks)} of them with signal for this model"
    return plural(best["n_tasks"], "task") + few


def _by_configuration(accuracy: list[Row]) -> ByConfiguration:
    found: ByConfiguration = {}
    for row in accuracy:
        if row["signal"] and row["kept"] is not None:
            found.setdefault(tuple(row[c] for c in _CONFIGURATION), []).append(row)
    return found


def _tasks(best: Row, accuracy: ByConfiguration) -> list[Row]:
    """The same configuration on each task that was averaged and has signal for this model, least kept first."""
    averaged = best["tasks"].split(", ")
    found = accuracy.get(tuple(best[c] for c in _CONFIGURATION), [])
    return sorted((r for r in found if r["task"] in averaged), key=lambda r: (r["kept"], r["task"]))
