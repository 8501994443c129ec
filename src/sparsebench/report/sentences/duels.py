"""Large and sparse against small and dense at equal cost: from ``iso_cost``."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from sparsebench.report.phrases import PHASES, clearly, difference, plural, standing
from sparsebench.report.rows import Numbered, Row
from sparsebench.stats.configuration import DENSE

TITLE = "Large and sparse, or small and dense"


def sentences(rows: Numbered) -> Iterator[Markup]:
    """One sentence per phase in which models of different size met at equal cost."""
    for phase, words in PHASES.items():
        duels = [r for r in rows.iso_cost if r["kind"] == "sizes" and r["method_b"] == DENSE and r["phase"] == phase]
        if not duels:
            continue
        won, lost = ([r for r in duels if r["winner"] == side] for side in ("a", "b"))
        text = Markup(
            "{} at equal cost ({}): the larger sparse model beats the smaller dense one in {} of {}, loses in {}, and "
            "{} undecided"
        ).format(
            words,
            duels[0]["cost_unit"],
            len(won),
            plural(len(duels), "duel"),
            len(lost),
            plural(len(duels) - len(won) - len(lost), "stays", "stay"),
        )
        if won:
            text += Markup("; {}{}").format(clearly(won), _duel(max(won, key=lambda r: r["difference_low"])))
        if lost:
            text += Markup("; its {}defeat is {}").format(
                "worst " if len(lost) > 1 else "", _duel(min(lost, key=lambda r: r["difference_high"]))
            )
        yield text + standing(duels) + "."


def _duel(row: Row) -> Markup:
    return Markup("<b>{}</b> with <b>{}</b> at {:g} against dense <b>{}</b> at {} tokens, {}").format(
        row["model_a"],
        row["method_a"],
        row["sparsity_a"],
        row["model_b"],
        f"{row['length_tok']:,}",
        difference(row),
    )
