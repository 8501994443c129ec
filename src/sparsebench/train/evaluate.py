"""Dense greedy accuracy of a model folder on the benchmark's own samples: the figures of a model card."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from sparsebench.spec import TaskSpec
from sparsebench.synthesis import make_sample
from sparsebench.tasks.registry import load_task
from sparsebench.tasks.window import Window, load_tokenizer

log = logging.getLogger("sparsebench")

_BATCH_TOK = 131_072
"""Prompt tokens per batch: bounds the memory of masks and caches."""


def wilson(mean: float, n: int) -> tuple[float, float]:
    """95 % Wilson interval of a mean of scores in [0, 1], as in :func:`sparsebench.stats.intervals.mean_interval`.

    Written out because scipy is not among what training needs.
    """
    z2 = NormalDist().inv_cdf(0.975) ** 2
    centre = (n * mean + z2 / 2) / (n + z2)
    half = z2**0.5 / (n + z2) * (n * mean * (1 - mean) + z2 / 4) ** 0.5
    return max(0.0, centre - half), min(1.0, centre + half)


@torch.no_grad()
def answer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Sequence[int]], most: int
) -> list[str]:
    """Greedy answers of at most ``most`` tokens; prompts are padded on the left to one batch."""
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), int(tokenizer.pad_token_id))
    for row, prompt in zip(ids, prompts, strict=True):
        row[width - len(prompt) :] = torch.tensor(prompt)
    mask = torch.arange(width) >= torch.tensor([[width - len(prompt)] for prompt in prompts])
    out = model.generate(
        input_ids=ids.to(model.device),
        attention_mask=mask.long().to(model.device),
        max_new_tokens=most,
        do_sample=False,
        pad_token_id=tokenizer.pad_token_id,
    )
    texts: list[str] = tokenizer.batch_decode(out[:, width:], skip_special_tokens=True)
    return texts


def figures(
    folder: Path, specs: Mapping[int, Sequence[TaskSpec]], device: str, dtype: str, command: str
) -> dict[str, Any]:
    """Score ``folder`` on the tasks of every length; see :func:`evaluate`.

    Returns
    -------
    Rows, and how they were made.
    """
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "a CPU"
    rows = evaluate(folder, specs, device, dtype)
    return {"model": folder.name, "command": command, "device": name, "dtype": dtype, "rows": rows}


def evaluate(
    folder: Path, specs: Mapping[int, Sequence[TaskSpec]], device: str, dtype: str = "bfloat16"
) -> list[dict[str, Any]]:
    """Score ``folder`` on the tasks of every length.

    Samples are those of :func:`sparsebench.synthesis.make_sample`: the benchmark's half of all labels, which training
    never sees.

    Returns
    -------
    One row per (task, length): mean, its 95 % interval, n, and a few answers to look at.
    """
    tokenizer = load_tokenizer(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa").to(device).eval()
    rows = []
    for length, asked in specs.items():
        window = Window(tokenizer, length)
        for spec in asked:
            task = load_task(spec)
            made = [make_sample(task, spec, i, folder.name, window)[:2] for i in range(spec.samples)]
            most = max(sample.max_new_tok for sample, _ in made)
            scores: list[float] = []
            texts: list[str] = []
            for at in range(0, len(made), max(1, _BATCH_TOK // length)):
                part = made[at : at + max(1, _BATCH_TOK // length)]
                for (sample, _), text in zip(
                    part, answer(model, tokenizer, [encoded.ids for _, encoded in part], most), strict=True
                ):
                    ends = [at for at in map(text.find, sample.stop) if at >= 0]
                    texts.append(text[: min(ends, default=len(text))])
                    scores.append(task.score(texts[-1], sample.answers, sample.meta).value)
            mean = sum(scores) / len(scores)
            low, high = wilson(mean, len(scores))
            log.info(
                "%s %-16s %5d tokens: %.3f [%.3f, %.3f] n=%d",
                folder.name,
                spec.label,
                length,
                mean,
                low,
                high,
                len(scores),
            )
            rows.append(
                {
                    "model": folder.name,
                    "task": spec.label,
                    "length_tok": length,
                    "n": len(scores),
                    "score": round(mean, 4),
                    "low": round(low, 4),
                    "high": round(high, 4),
                    "examples": [
                        {"gold": sample.perfect, "said": text}
                        for (sample, _), text in zip(made[:2], texts, strict=False)
                    ],
                }
            )
    return rows


def write(made: dict[str, Any], path: Path) -> None:
    """Write figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
