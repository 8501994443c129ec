"""What limits the findings: tasks without signal, missing samples, few samples, budgets not met."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from sparsebench.grid import Dropped
from sparsebench.report.phrases import accuracy, linked, listed, name, plural, share, spanned
from sparsebench.report.rows import Row
from sparsebench.stats.configuration import DENSE, natural

FEW_SAMPLES = 20


def doubts(rows: list[Row], dropped: Sequence[Dropped] = ()) -> list[Markup]:
    """What was dropped and what limits the findings; ``rows`` are those of ``accuracy``."""
    said = [*_not_run(dropped), *_silent(rows)]
    missing = [r for r in rows if r["n_missing"]]
    if missing:
        worst = max(missing, key=lambda r: r["n_missing"])
        said.append(
            Markup("{} lack samples that others have; most in {}.").format(
                plural(len(missing), "row"), linked(f"{worst['method']} at {worst['sparsity']:g}", worst)
            )
        )
    few = [r["n"] for r in rows if r["n"] < FEW_SAMPLES]
    if few:
        said.append(Markup("Some rows rest on {} samples only: their intervals are wide.").format(spanned(few)))
    return said + _budgets(rows)


def _not_run(dropped: Sequence[Dropped]) -> Iterator[Markup]:
    cells: dict[tuple[str, str], list[Dropped]] = {}
    for cell in dropped:
        cells.setdefault((cell.key.model, cell.reason), []).append(cell)
    for (model, reason), group in sorted(cells.items(), key=lambda item: (natural(item[0][0]), item[0][1])):
        lengths = sorted({cell.key.length for cell in group})
        yield Markup("Not run: {} of <b>{}</b> at {} tokens: {}.").format(
            plural(len(group), "cell"), model, listed([f"{n:,}" for n in lengths]), reason
        )


def _silent(rows: list[Row]) -> Iterator[Markup]:
    places: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["phase"] == DENSE and not row["signal"]:
            places.setdefault((row["task"], row["model"]), []).append(row)
    for (task, model), group in sorted(places.items(), key=lambda item: (item[0][0], natural(item[0][1]))):
        scores = [
            Markup("{} at {} tokens (n = {})").format(accuracy(r), f"{r['length_tok']:,}", f"{r['n']:,}") for r in group
        ]
        yield Markup("No signal: <b>{}</b> on {}: dense scores {}; a guesser {}. {}.").format(
            task, model, listed(scores), f"{group[0]['chance']:.2f}", _fate(group, rows)
        )


def _fate(group: list[Row], rows: list[Row]) -> str:
    """Averages hold the tasks that have signal for any model, so that models compare."""
    kept = [r["length_tok"] for r in group if averaged(r, rows)]
    if not kept:
        return "Left out of averages"
    where = "" if len(kept) == len(group) else f" at {listed([f'{n:,}' for n in kept])} tokens"
    return f"Still in averages{where}, since another model has signal there"


def averaged(row: Row, rows: list[Row]) -> bool:
    """Whether means over tasks hold this line's task at its length."""
    return any(r["signal"] and r["task"] == row["task"] and r["length_tok"] == row["length_tok"] for r in rows)


def _budgets(rows: list[Row]) -> list[Markup]:
    """The method that overspends its budget most, if any does by more than a tenth."""
    single = [r for r in rows if r["phase"] in ("prefill", "decode")]
    worst = max(single, key=lambda r: r["attention_share"] / (1 - r["sparsity"]), default=None)
    if worst is None or worst["attention_share"] <= 1.1 * (1 - worst["sparsity"]):
        return []
    return [
        Markup("Budgets are not always met: {} in {} spends {} where {} was asked for.").format(
            name(worst, sparsity=True),
            worst["phase"],
            linked(share(worst["attention_share"]), worst),
            share(1 - worst["sparsity"]),
        )
    ]
