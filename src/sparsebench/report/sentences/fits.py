"""How well accuracy follows from size, length and budget: from ``scaling``."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from sparsebench.report.phrases import PHASES, linked
from sparsebench.report.rows import Numbered, Row

TITLE = "Whether accuracy follows from size, length and budget"


def sentences(rows: Numbered) -> Iterator[Markup]:
    """One sentence per phase and split that holds cells out."""
    for phase, words in PHASES.items():
        for split in ("largest size", "longest length"):
            lines = {
                r["method"]: r
                for r in rows.scaling
                if r["phase"] == phase and r["split"] == split and not r["control"] and r["held_out_error"] is not None
            }
            if lines:
                yield _sentence(words, split, sorted(lines.values(), key=lambda r: (r["held_out_error"], r["method"])))


def _sentence(words: str, split: str, lines: list[Row]) -> Markup:
    best, worst = lines[0], lines[-1]
    text = Markup(
        "{}: a fit that has not seen the {} predicts its accuracy with a root mean square error of {}"
    ).format(words, split, _error(best))
    if worst is not best:
        text += Markup(" to {}").format(_error(worst))
    better = [r for r in lines if r["naive_error"] is not None and r["held_out_error"] < r["naive_error"]]
    return text + Markup("; it beats the guess of each task's mean for {} of {} methods.").format(
        len(better), len(lines)
    )


def _error(row: Row) -> Markup:
    beside = [f"guess {row['naive_error']:.2f}"] if row["naive_error"] is not None else []
    beside += [f"samples alone {row['noise']:.2f}"] if row["noise"] is not None else []
    figure = linked(f"{row['held_out_error']:.2f}", row)
    return Markup("{} for <b>{}</b> ({})").format(
        figure, row["method"], ", ".join([*beside, f"{row['n_held_out']} cells"])
    )
