"""The methods side by side on the four axes, as the methods themselves state them."""

from __future__ import annotations

import inspect

from sparsebench.methods.registry import method_classes


def taxonomy_rows() -> list[dict[str, str]]:
    """One row per method of the package, prefill before decode, then by name.

    Returns ------- Rows with ``phase``, ``method``, ``title``, the axes ``unit``, ``importance``, ``budget``,
    ``cache``, then ``source``, ``departures`` (one per line) and ``summary`` (the docstring's first sentence).
    """
    return [
        {
            "phase": phase,
            "method": name,
            "title": method.title,
            "unit": method.axes.unit,
            "importance": method.axes.importance,
            "budget": method.axes.budget,
            "cache": method.axes.cache,
            "source": method.source,
            "departures": "\n".join(method.departures),
            "summary": (inspect.getdoc(method) or "").split("\n\n")[0].replace("\n", " "),
        }
        for (phase, name), method in sorted(
            method_classes().items(), key=lambda item: (item[0][0] != "prefill", item[0])
        )
    ]
