"""Tasks as text for the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sparsebench.errors import UserError
from sparsebench.spec import TaskSpec
from sparsebench.tasks.bench import synthesis_figures
from sparsebench.tasks.listing import show_sample, task_table
from sparsebench.tasks.registry import task_classes


def test_the_table_has_a_line_for_every_task() -> None:
    lines = task_table().splitlines()
    assert lines[0].split() == ["task", "metric", "chance", "minimum_tok", "source"]
    assert [line.split()[0] for line in lines[1:]] == list(task_classes())
    assert "qa_quality" in task_table() and " 0.25 by sample " in task_table()


def test_a_sample_is_shown_with_gold_answer_and_scores(tokenizer_dir: Path) -> None:
    spec = TaskSpec(label="mine", task="story_filtering", samples=1, seed=4)
    text = show_sample(spec, tokenizer_dir, 2048)
    assert text.startswith("<s><|user|>\nRead the story of") and "Question: In all chapters but 3" in text
    facts = {line[:18].strip(): line[19:] for line in text.splitlines()[-10:]}
    gold = facts["gold"].replace(" |", ",")
    assert facts["perfect"] == f"{' ' + gold!r} scores 1" and facts["empty"] == "'' scores 0 (parse failed)"
    assert facts["metric"] == "iou" and 0 < float(facts["chance"]) < 0.5


def test_showing_a_sample_of_a_missing_corpus_says_so(tokenizer_dir: Path) -> None:
    with pytest.raises(UserError, match=r"results/corpora/toefl\.json: no such file"):
        show_sample(TaskSpec(label="q", task="qa_toefl", samples=1, seed=0), tokenizer_dir, 4096)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tasks": ["ruler_nia"]}, "unknown task 'ruler_nia'; did you mean 'ruler_niah'"),
        ({"samples": 0}, "samples 0, .* allowed: at least 1"),
        ({"lengths": [1024, -1]}, "lengths .*-1.* allowed: at least 1"),
    ],
)
def test_wrong_figures_are_refused_at_once(tokenizer_dir: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        next(synthesis_figures(tokenizer_dir, **given))


def test_figures_of_synthesis(tokenizer_dir: Path) -> None:
    _, refused, measured = synthesis_figures(tokenizer_dir, lengths=[128, 1024], samples=2, tasks=["ruler_niah"])
    assert "needs about" in refused
    task, length, samples, fill, seconds, peak = measured.split()
    low, high = (float(part) for part in fill.split("-"))
    assert (task, length, samples) == ("ruler_niah", "1024", "2") and 0.95 <= low <= high <= 1
    assert float(seconds) < 30 and 50 < float(peak) < 4096
