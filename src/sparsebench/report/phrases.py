"""Numbers as the report writes them; each links to the table row that it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from sparsebench.stats.configuration import DENSE, natural
from sparsebench.stats.effects import ALPHA

if TYPE_CHECKING:
    from sparsebench.report.rows import Row

PHASES = {"prefill": "Sparse prefill", "decode": "Sparse decode", "both": "Sparse prefill and decode"}


def place(model: str, phase: str) -> tuple[list[str | int], int]:
    """Sort key of what is said of a model and phase: models by name, prefill before decode."""
    return natural(model), list(PHASES).index(phase)


def places(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """The models and phases of ``rows``, in order."""
    return sorted({(row["model"], row["phase"]) for row in rows}, key=lambda pair: place(*pair))


def share(value: float | None) -> str:
    """0.971 as ``97.1 %``."""
    return "unknown" if value is None else f"{100 * value:z.1f} %"


def threshold(value: float) -> str:
    """0.95 as ``95 %``."""
    return f"{100 * value:g} %"


def bounds(low: float | None, high: float | None, scale: float = 1.0, digits: int = 2) -> str:
    """An interval in brackets; an end can be unknown."""
    if low is None and high is None:
        return "[unknown]"
    return "[{}, {}]".format(*("unknown" if x is None else f"{scale * x:z.{digits}f}" for x in (low, high)))


def linked(text: str, row: Row) -> Markup:
    """``text`` as a link to its row of the results table."""
    return Markup('<a class="n" href="#{}">{}</a>').format(row["id"], text)


def kept(row: Row) -> Markup:
    """Share of dense kept, with its interval."""
    return linked(f"{share(row['kept'])} {bounds(row['kept_low'], row['kept_high'], 100, 1)}", row)


def accuracy(row: Row) -> Markup:
    """Mean accuracy, with its interval."""
    return linked(f"{row['accuracy']:z.2f} {bounds(row['accuracy_low'], row['accuracy_high'])}", row)


def task_kept(row: Row) -> Markup:
    """Share of dense kept on one task, with its interval and n."""
    return Markup("{}, n = {}").format(kept(row), f"{row['n']:,}")


def difference(row: Row) -> Markup:
    """A paired difference with its interval."""
    return linked(f"{row['difference']:+z.2f} {bounds(row['difference_low'], row['difference_high'])}", row)


def clearly(duels: Sequence[Row]) -> str:
    """What stands before the clearest of several duels."""
    return "most clearly " if len(duels) > 1 else ""


def standing(duels: Sequence[Row]) -> Markup:
    """How many of the duels that their intervals decide stay so when all duels of that kind are taken together.

    Nothing where no decided duel was tested: models of different tokenizers answered different prompts.
    """
    decided = [r for r in duels if r["winner"] != "undecided" and r["p_holm"] is not None]
    if not decided:
        return Markup("")
    clear = sum(r["p_holm"] < ALPHA for r in decided)
    return Markup("; of the {} decided by their intervals, {} so after Holm's correction").format(
        f"{len(decided):,}", plural(clear, "stays", "stay")
    )


def name(row: Row, sparsity: bool = False) -> Markup:
    """A configuration's name, in bold."""
    at = f" at {row['sparsity']:g}" if sparsity and row["method"] != DENSE else ""
    return Markup("<b>{}</b>{}").format(row["method"], at)


def listed(parts: Sequence[Markup | str]) -> Markup:
    """``a, b and c``."""
    safe = [Markup.escape(p) for p in parts]
    return safe[0] if len(safe) == 1 else Markup(", ").join(safe[:-1]) + " and " + safe[-1]


def spanned(values: Iterable[int]) -> str:
    """``5``, or ``5 to 12`` where values differ."""
    least, *_, most = sorted(values) * 2
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def plural(count: int, noun: str, several: str = "") -> str:
    """``1 task``, ``2 tasks``; ``several`` is the plural where it is not made with an s."""
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"
