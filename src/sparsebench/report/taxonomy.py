"""The methods of a run on their four axes, as they state them."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup

from sparsebench.config import Config
from sparsebench.methods import load_method
from sparsebench.names import PHASES, method_spec

_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")


def methods_run(config: Config) -> list[dict[str, Any]]:
    """One row per method of the config, prefill before decode, methods outside the package included."""
    rows = []
    for phase in PHASES:
        for label in getattr(config, phase):
            if label == "dense":
                continue
            method = load_method(method_spec(config, phase, label), phase)
            rows.append(
                {
                    "phase": phase,
                    "label": label,
                    "title": method.title,
                    "axes": method.axes,
                    "source": with_links(method.source),
                    "departures": method.departures,
                }
            )
    return rows


def with_links(source: str) -> Markup:
    """``source`` with arXiv identifiers as links."""
    return Markup(_ARXIV.sub(r'<a href="https://arxiv.org/abs/\1">arXiv:\1</a>', str(Markup.escape(source))))
