"""The methods as text for docs/methods.md: the four axes side by side, then what each says of itself."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields

from sparsebench.methods.base import Method
from sparsebench.methods.registry import method_classes

_COLUMNS = ("phase", "method", "unit", "importance", "budget", "KV cache")
_PARAMETERS = "\n\nParameters\n----------\n"


def methods_page() -> Iterator[str]:
    """Lines of Markdown, an empty one first: methods of prefill before those of decode, then by name."""
    methods = sorted(method_classes().values(), key=lambda method: (method.phase != "prefill", method.name))
    yield ""
    yield f"| {' | '.join(_COLUMNS)} |"
    yield "|---" * len(_COLUMNS) + "|"
    for method in methods:
        axes = method.axes
        cells = (method.phase, f"`{method.name}`", axes.unit, axes.importance, axes.budget, axes.cache)
        yield f"| {' | '.join(cells)} |"
    for method in methods:
        yield from ("", f"### {method.title} (`{method.name}`, {method.phase})", "", *_about(method))


def _about(method: type[Method]) -> Iterator[str]:
    text, _, parameters = (inspect.getdoc(method) or "").partition(_PARAMETERS)
    yield from (_marked(text), "", f"Source: {method.source}.")
    if parameters:
        yield from ("", "Parameters:", "", *_parameters(method, parameters))
    if method.departures:
        yield from ("", "Departures from the authors' code:", "", *(f"- {one}" for one in method.departures))


def _parameters(method: type[Method], text: str) -> Iterator[str]:
    """A line per entry of a docstring's section: names, defaults, meaning."""
    defaults = {field.name: field.default for field in fields(method)}  # type: ignore[arg-type]
    for names, meaning in re.findall(r"^(\w[^\n]*)\n((?: +[^\n]*\n?)+)", text, re.MULTILINE):
        values = ", ".join(str(defaults[name]) for name in names.split(", "))
        yield f"- `{names}` (default {values}): {_marked(' '.join(meaning.split()))}"


def _marked(text: str) -> str:
    """Text of a docstring as Markdown: names of code in single backticks, without their modules."""
    return re.sub(r":\w+:`[\w.]*?(\w+)`", r"`\1`", text).replace("``", "`")
