"""Models that a config may refer to by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sparsebench.models.source import KINDS

FILE = Path(__file__).with_name("presets.yaml")


@cache
def presets() -> dict[str, dict[str, Any]]:
    """Config entries by name; not to be written to."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())
    return found


def with_preset(label: str, entry: Any) -> Any:
    """A model's entry of the config, laid over its preset: the one it names, or without any source its label's.

    A name that is no preset stays in the entry, for the check of the entry to tell.
    """
    given = {} if entry is None else entry
    if not isinstance(given, dict):
        return entry
    own_source = any(given.get(kind) is not None for kind in KINDS)
    name = given.get("preset") or (None if own_source else label)
    if name is None:
        return given
    if not isinstance(name, str) or name not in presets():
        return given | {"preset": name}
    base = presets()[name]
    if own_source:  # weights of one's own, facts of the preset
        base = {key: value for key, value in base.items() if key not in ("hub", "revision", "gated")}
    return base | {key: value for key, value in given.items() if key != "preset"}


def unknown_preset(name: str) -> str:
    """What to say of a name that is no preset."""
    near = difflib.get_close_matches(name, presets(), n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{name!r} is no preset{hint} (allowed: {', '.join(presets())})"


def preset_table() -> Iterator[str]:
    """All presets as a Markdown table, as ``config/README.md`` shows it."""
    yield "| preset | Hub | longest | GPUs | RoPE scaling | licence |"
    yield "|---|---|---|---|---|---|"
    for name, entry in presets().items():
        rope = entry.get("rope")
        length = (
            entry["max_length_tok"] if rope is None else int(rope["factor"] * rope["original_max_position_embeddings"])
        )
        native = f"{rope['rope_type']} by {rope['factor']:g}" if rope else "the model's"
        gate = ", gated" if entry.get("gated") else ""
        yield f"| `{name}` | {entry['hub']} | {length} | {entry['gpus']} | {native} | {entry['licence']}{gate} |"
