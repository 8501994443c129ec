"""How many configurations differ from dense beyond chance: from ``effects``."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from sparsebench.report.phrases import difference, name, plural
from sparsebench.report.rows import Numbered
from sparsebench.stats.configuration import natural
from sparsebench.stats.effects import ALPHA

TITLE = "How sure it is"


def sentences(rows: Numbered) -> Iterator[Markup]:
    """One sentence per model."""
    for model in sorted({r["model"] for r in rows.effects}, key=natural):
        family = [r for r in rows.effects if r["model"] == model and r["p_holm"] is not None]
        if not family:
            continue
        clear = [r for r in family if r["p_holm"] < ALPHA]
        lower = [r for r in clear if r["difference"] < 0]
        text = Markup(
            "Of {} of <b>{}</b> with dense (a configuration on one task and length, where it has signal), {} "
            "below dense and {} above it beyond chance (paired permutation test, p below {} after Holm's correction)"
        ).format(
            plural(len(family), "comparison"),
            model,
            plural(len(lower), "ends", "end"),
            f"{len(clear) - len(lower):,}",
            f"{ALPHA:g}",
        )
        if len(clear) < len(family):
            text += "; the others cannot be told from dense with these samples"
        if lower:
            worst = min(lower, key=lambda r: (r["difference"], r["task"], r["method"]))
            text += Markup(". The largest loss is {} in {} on <b>{}</b> at {} tokens: {}").format(
                name(worst, sparsity=True),
                worst["phase"],
                worst["task"],
                f"{worst['length_tok']:,}",
                difference(worst),
            )
        elif (least := _least_p(max(r["n_pairs"] for r in family))) * len(family) >= ALPHA:
            text += Markup(": no difference could be, since {} pairs can give a p of {} at the least").format(
                max(r["n_pairs"] for r in family), f"{least:.2g}"
            )
        yield text + "."


def _least_p(pairs: int) -> float:
    """The least p of a two-sided test by signs: all pairs differ, all the same way."""
    return 2.0 ** (1 - pairs)
