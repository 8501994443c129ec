"""The pages on methods say what the code says, and their example runs."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
import torch

from sparsebench.counting import decode_entries
from sparsebench.methods import load_method, method_classes
from sparsebench.methods.base import Layer
from sparsebench.methods.page import methods_page
from sparsebench.methods.quest import Quest
from sparsebench.selection import Everything
from sparsebench.spec import MethodSpec

from .attend import attend_step, randn

DOCS = Path(__file__).parents[2] / "docs"


def test_a_method_is_told_with_its_axes_parameters_source_and_departures() -> None:
    page = "\n".join(methods_page())
    assert "| decode | `quest` | page | token-to-page | uniform | full |" in page
    section = page.partition("### Quest (`quest`, decode)\n")[2].partition("\n### ")[0]
    assert "- `page` (default 16): Tokens per page: 16, 32, 64 or 128." in section
    assert f"Source: {Quest.source}." in section
    assert all(f"\n- {departure}" in section for departure in Quest.departures)
    assert "``" not in page and ":func:" not in page
    assert len(re.findall(r"(?m)^### .*\(`\w+`, (?:prefill|decode)\)$", page)) == len(method_classes())


def test_the_example_of_a_new_method_keeps_the_promises(tmp_path: Path) -> None:
    page = (DOCS / "adding-a-method.md").read_text()
    (source,) = re.findall(r"(?s)```python\n(.*?)```", page)
    path = tmp_path / "key_norm.py"
    path.write_text(source)
    method = load_method(MethodSpec(label="k", method=f"{path}:KeyNorm", params={"newest": 8}), "decode")
    about, k, v, q = Layer(0, 0.25), randn(2, 111, 16, seed=1), randn(2, 111, 16, seed=2), randn(3, 6, 16, seed=3)
    k[:, 5] *= 0.01
    picked = method.select(method.prepare(k, q[:0, :, 0], about), q, [1.0, 0.5, 0.1])
    assert decode_entries(picked, 111).tolist() == [[111, 111], [56, 56], [11, 11]]
    assert {5, *range(103, 111)} <= set(picked.tokens[2, 1, :11].tolist())  # type: ignore[union-attr]
    got, want = attend_step(q, k, v, picked, about), attend_step(q, k, v, Everything(), about)
    torch.testing.assert_close(got[0], want[0], atol=1e-6, rtol=1e-5)
    assert not torch.allclose(got[2], want[2], atol=1e-2)


@pytest.mark.parametrize("module", ["budget", "estimate", "pick"])
def test_pages_name_modules_that_exist(module: str) -> None:
    assert f"methods/{module}.py" in (DOCS / "adding-a-method.md").read_text()
    assert (DOCS.parent / "src/sparsebench/methods" / f"{module}.py").is_file()


def test_pages_name_functions_that_exist() -> None:
    named = re.findall(r"`methods\.(\w+)\.(\w+)`", (DOCS / "adding-a-method.md").read_text())
    assert ("pick", "row_counts") in named
    assert all(hasattr(import_module(f"sparsebench.methods.{module}"), name) for module, name in named)
