"""The RULER grid is the published recipe."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import yaml

from sparsebench.spec import TaskSpec
from sparsebench.tasks.registry import load_task
from sparsebench.tasks.ruler_cwe import RulerCwe
from sparsebench.tasks.ruler_niah import RulerNiah
from sparsebench.tasks.ruler_vt import RulerVt

GRID = yaml.safe_load((Path(__file__).parents[2] / "config" / "ruler.yaml").read_text())


def test_thirteen_tasks_in_the_published_categories() -> None:
    """arXiv:2404.06654, section 4: 8 retrieval, 1 tracing, 2 aggregation, 2 question answering."""
    tasks = {
        label: load_task(TaskSpec(label=label, samples=1, seed=0, **entry)) for label, entry in GRID["tasks"].items()
    }
    assert Counter(task.name for task in tasks.values()) == {
        "ruler_niah": 8,
        "ruler_vt": 1,
        "ruler_cwe": 1,
        "ruler_fwe": 1,
        "ruler_qa": 2,
    }
    assert tasks["vt"] == RulerVt(chains=1, hops=4)
    assert tasks["cwe"] == RulerCwe(common=10, freq_common=30, freq_rare=3)
    assert tasks["niah_multikey_3"] == RulerNiah(haystack="needles", key_kind="hex", value_kind="hex")
    assert [tasks[label].files() for label in ("qa_1", "qa_2")] == [
        ("results/corpora/squad.json",),
        ("results/corpora/hotpotqa.json",),
    ]
