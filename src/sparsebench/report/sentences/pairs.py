"""Methods against each other at equal cost of attention: from ``iso_cost``."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from sparsebench.report.phrases import PHASES, bounds, clearly, linked, listed, place, plural, standing
from sparsebench.report.rows import Numbered, Row

TITLE = "Which method, at equal cost of attention"


def sentences(rows: Numbered) -> Iterator[Markup]:
    """One sentence per model and phase in which two methods met at equal cost."""
    groups: dict[tuple[str, str], dict[tuple[str, str], list[Row]]] = {}
    for row in rows.iso_cost:
        if row["kind"] == "methods":
            group = (row["model_a"], row["phase"])
            groups.setdefault(group, {}).setdefault((row["method_a"], row["method_b"]), []).append(row)
    for (model, phase), pairs in sorted(groups.items(), key=lambda item: place(*item[0])):
        parts = [_pair(first, second, duels) for (first, second), duels in sorted(pairs.items())]
        unit = next(iter(pairs.values()))[0]["cost_unit"]
        met = standing([duel for lines in pairs.values() for duel in lines])
        yield Markup("{} of <b>{}</b> at equal cost ({}): {}{}.").format(
            PHASES[phase], model, unit, Markup("; ").join(parts), met
        )


def _pair(first: str, second: str, duels: list[Row]) -> Markup:
    won = {side: [r for r in duels if r["winner"] == side] for side in ("a", "b")}
    count = plural(len(duels), "duel")
    if not won["a"] and not won["b"]:
        return Markup("<b>{}</b> and <b>{}</b> cannot be told apart in {}").format(first, second, count)
    said = []
    for side, winner, loser in (("a", first, second), ("b", second, first)):
        if won[side]:
            clearest = max(won[side], key=lambda r: abs(r["difference"]))
            said.append(
                Markup("<b>{}</b> beats <b>{}</b> in {} of {}, {}{}").format(
                    winner, loser, len(won[side]), count, clearly(won[side]), _duel(clearest, side)
                )
            )
    return listed(said)


def _duel(row: Row, side: str) -> Markup:
    """The duel seen from its winner."""
    other, sign = ("b", 1) if side == "a" else ("a", -1)
    ends = sorted((sign * row["difference_low"], sign * row["difference_high"]))
    figure = linked(f"{sign * row['difference']:+z.2f} {bounds(*ends)}", row)
    return Markup("at {:g} against {:g} at {} tokens, {}").format(
        row[f"sparsity_{side}"], row[f"sparsity_{other}"], f"{row['length_tok']:,}", figure
    )
