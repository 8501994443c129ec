"""Tasks as text: the table of all, and one sample of one."""

from __future__ import annotations

from pathlib import Path

from sparsebench.spec import TaskSpec
from sparsebench.synthesis import make_sample
from sparsebench.tasks.base import Task
from sparsebench.tasks.registry import load_task, task_classes
from sparsebench.tasks.window import Window, load_tokenizer

_HEADINGS = ("task", "metric", "chance", "minimum_tok", "source")


def task_table() -> str:
    """Every task with metric, chance level, minimum length at default parameters and source, in columns."""
    rows = [_HEADINGS, *(_row(cls) for cls in task_classes().values())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(cls: type[Task]) -> tuple[str, ...]:
    chance = f"{cls.chance:g}" if cls.chance_of is Task.chance_of else f"{cls.chance:g} by sample"
    return (cls.name, cls.metric, chance, str(cls.minimum_tok), cls.source)


def show_sample(task: TaskSpec, tokenizer_dir: Path, length: int) -> str:
    """One prompt in full, its gold answer, and what scores.

    Parameters
    ----------
    task
        Task as configured; the sample shown is its first.
    tokenizer_dir
        Folder of the tokenizer.
    length
        Prompt length in tokens.
    """
    generator = load_task(task)
    tokenizer = load_tokenizer(tokenizer_dir)
    sample, encoded, draw = make_sample(generator, task, 0, tokenizer_dir.name, Window(tokenizer, length))
    guess = generator.guess(draw, sample)
    lines = [encoded.prompt, "", "-" * 20]
    facts = {
        "prompt": f"{len(encoded.ids)} of {length} tokens",
        "evidence at token": ", ".join(str(place) for place in encoded.evidence_tok[:20])
        + (" ..." if len(encoded.evidence_tok) > 20 else ""),
        "gold": " | ".join(sample.answers),
        "limit": f"{sample.max_new_tok} generated tokens",
        "stops at": ", ".join(repr(text) for text in sample.stop) or "end of sequence",
        "metric": generator.metric_name(),
        "chance": f"{generator.chance_of(sample.answers, sample.meta):.3g}",
    }
    lines += [f"{name:<18} {value}" for name, value in facts.items()]
    for name, text in (("perfect", sample.perfect), ("empty", ""), ("a guess", guess)):
        score = generator.score(text, sample.answers, sample.meta)
        shown = text if len(text) <= 200 else f"{text[:200]} ... ({len(text)} characters)"
        lines.append(
            f"{name:<18} {shown!r} scores {score.value:.3g}" + (" (parse failed)" if score.parse_failed else "")
        )
    return "\n".join(lines)
