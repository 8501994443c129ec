"""The model card of a trained folder, written from its figures, curriculum and curve; no figure is typed by hand."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_WEAK = 0.8
"""A task is called weak where its interval ends below this score."""

_HEAD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: text-generation
---

# {name}

A Llama of {layers} layers, {heads} query and {kv} KV heads of {head_dim} channels, width {hidden} and a vocabulary
of {vocab} entries, trained from nothing on the synthetic tasks of sparsebench, with positions to {longest}. It knows
these tasks and no language: it exists so that sparse attention can be measured on a CPU with a model that really
retrieves.
Data, curriculum and limits: `docs/reference-models.md`.

Training so far: {minutes:.1f} minutes, {device_minutes:.1f} minutes of GPUs, at last of {trained_on}; {tokens:.0f} M
tokens in {steps} steps. {state}

## Accuracy

Dense attention, greedy, {dtype} on {device}: mean score, 95 % Wilson interval, n. The samples are the benchmark's own,
with keys, values and names that training never draws. Made by

    {command}

"""
_UNFINISHED = (
    "The training is **not finished**: the last leg, in which the learning rate decays to the end, is to come."
)
_FINISHED = "The last leg, in which the learning rate decays to the end, is done."


def _accuracy(rows: Sequence[dict[str, Any]]) -> str:
    lengths = sorted({row["length_tok"] for row in rows})
    lines = ["| task | " + " | ".join(f"{n:,} tokens" for n in lengths) + " |", "|---" * (len(lengths) + 1) + "|"]
    cells = {(row["task"], row["length_tok"]): row for row in rows}
    for task in dict.fromkeys(row["task"] for row in rows):
        shown = []
        for length in lengths:
            row = cells.get((task, length))
            shown.append(f"{row['score']:.2f} [{row['low']:.2f}, {row['high']:.2f}], n={row['n']}" if row else "")
        lines.append(f"| {task} | " + " | ".join(shown) + " |")
    weak = defaultdict(list)
    for row in rows:
        if row["high"] < _WEAK:
            weak[row["task"]].append(f"{row['length_tok']:,}")
    if weak:
        named = "; ".join(f"{task} at {', '.join(lengths)} tokens" for task, lengths in weak.items())
        lines += ["", f"Weak, with an interval that ends below {_WEAK}: {named}."]
    return "\n".join(lines)


def _progress(curve: Path) -> str:
    """Per task, the prompts it was mostly trained on at four times, and the share of right answers at them."""
    with curve.open(newline="") as file:
        points = list(csv.DictReader(file))
    end = max(float(point["minute"]) for point in points)
    times = [end * quarter / 4 for quarter in (1, 2, 3, 4)]
    lines = ["| task | " + " | ".join(f"{time:.1f} min" for time in times) + " |", "|---" * 5 + "|"]
    for task in sorted({point["task"] for point in points}):
        shown = []
        for time in times:
            # The log is written every twenty seconds: what a task did in the minute before counts.
            recent = [p for p in points if p["task"] == task and time - 1 < float(p["minute"]) <= time + 0.01]
            seen: dict[str, int] = defaultdict(int)
            for point in recent:
                seen[point["level"]] += int(point["batches"])
            here = [point for point in recent if point["level"] == max(seen, key=lambda level: seen[level])]
            batches = sum(int(p["batches"]) for p in here)
            right = sum(float(p["right"]) * int(p["batches"]) for p in here) / max(1, batches)
            shown.append(f"{int(here[0]['prompt_tok']):,}: {right:.2f}" if here else "")
        lines.append(f"| {task} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def write_card(folder: Path, figures: dict[str, Any]) -> None:
    """Write ``folder/README.md``.

    Parameters
    ----------
    folder
        A folder that ``sparsebench train`` wrote.
    figures
        What :func:`sparsebench.train.evaluate.figures` returns.
    """
    config = json.loads((folder / "config.json").read_text())
    done = json.loads((folder / "curriculum.json").read_text())["done"]
    text = _HEAD.format(
        name=folder.name,
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        kv=config["num_key_value_heads"],
        head_dim=config["head_dim"],
        hidden=config["hidden_size"],
        vocab=f"{config['vocab_size']:,}",
        longest=f"{config['max_position_embeddings']:,}",
        minutes=done["minutes"],
        device_minutes=done["device_minutes"],
        tokens=done["tokens"] / 1e6,
        steps=f"{done['steps']:,.0f}",
        trained_on=done["device"],
        state=_FINISHED if done.get("final") else _UNFINISHED,
        dtype=figures["dtype"],
        device=figures["device"],
        command=figures["command"],
    )
    text += _accuracy(figures["rows"])
    text += (
        "\n\n## How it learnt\n\nThe longest prompt of the level at which a task was mostly trained in the minute "
        "before, and the share of answers right there,\nwith the right tokens before each (`curve.csv`):\n\n"
    )
    text += _progress(folder / "curve.csv") + "\n"
    partial = folder / "README.md.partial"
    partial.write_text(text, encoding="utf-8")
    partial.replace(folder / "README.md")
