"""How much sparsity is borne at the longest length of each model: from ``frontier``, and ``accuracy`` for the tasks."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from sparsebench.report.phrases import PHASES, kept, name, plural, task_kept
from sparsebench.report.rows import Numbered, Row
from sparsebench.stats.configuration import DENSE

TITLE = "How much sparsity is borne, at the longest prompts"


def sentences(rows: Numbered) -> Iterator[Markup]:
    """One sentence per model and phase."""
    places = sorted({(r["model"], list(PHASES).index(r["phase"])) for r in rows.frontier})
    for model, place in places:
        phase = list(PHASES)[place]
        group = [r for r in rows.frontier if r["model"] == model and r["phase"] == phase]
        longest = max(r["length_tok"] for r in group)
        group = [r for r in group if r["length_tok"] == longest]
        methods = [r for r in group if r["method"] != DENSE and not r["control"] and r["kept"] is not None]
        if methods:
            yield _sentence(model, phase, methods, rows)


def _sentence(model: str, phase: str, methods: list[Row], rows: Numbered) -> Markup:
    where = Markup("{} of <b>{}</b> at {} tokens: ").format(PHASES[phase], model, f"{methods[0]['length_tok']:,}")
    held = [r for r in methods if r["kept"] >= rows.share]
    if not held:
        best = max(methods, key=lambda r: (r["kept"], -r["sparsity"]))
        return where + Markup("nothing run keeps {} of dense; {} comes nearest with {} over {}.").format(
            f"{rows.share:.0%}", name(best, sparsity=True), kept(best), plural(best["n_tasks"], "task")
        )
    best = max(held, key=lambda r: (r["sparsity"], r["kept"]))
    tasks = _tasks(best, rows.accuracy)
    text = where + Markup("{} keeps {} of dense over {}, the highest sparsity at which any method keeps {}").format(
        name(best, sparsity=True), kept(best), plural(best["n_tasks"], "task"), f"{rows.share:.0%}"
    )
    if len(tasks) > 1:
        good = sum(r["kept"] >= rows.share for r in tasks)
        which = "" if len(tasks) == best["n_tasks"] else " on which this model has signal"
        text += Markup("; it does so on {} of {} tasks{}, worst on <b>{}</b>: {}").format(
            good, len(tasks), which, tasks[0]["task"], task_kept(tasks[0])
        )
    sure = best["kept_low"] is not None and best["kept_low"] >= rows.share
    return text + ("." if sure else Markup("; its interval reaches below, so more samples may say otherwise."))


def _tasks(best: Row, accuracy: list[Row]) -> list[Row]:
    """The same configuration on each task that was averaged and has signal for this model, least kept first."""
    same = ("model", "length_tok", "prefill", "prefill_sparsity", "decode", "decode_sparsity")
    averaged = best["tasks"].split(", ")
    found = [r for r in accuracy if r["task"] in averaged and r["signal"] and all(r[c] == best[c] for c in same)]
    return sorted((r for r in found if r["kept"] is not None), key=lambda r: (r["kept"], r["task"]))
