"""What a method says of its heads is true: independent ones select the same for a share of the heads alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest
import torch

from sparsebench.methods import load_method, method_classes
from sparsebench.methods.base import Layer
from sparsebench.selection import Everything
from sparsebench.spec import MethodSpec

S, D, G, H = 600, 16, 4, 8
BUDGETS = (0.5, 0.2)


def _methods(phase: str) -> list[str]:
    """Those that claim independence; for the others nothing is promised."""
    found = {name: method for (kind, name), method in method_classes().items() if kind == phase and name != "dense"}
    return sorted(name for name, method in found.items() if method.independent_heads)


def _method(name: str, phase: Literal["prefill", "decode"]) -> Any:
    """With small blocks, so that there is much to share out."""
    method = load_method(MethodSpec(label=name, method=name), phase)
    return replace(method, block=16) if hasattr(method, "block") else method


def _inputs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    # heads of very different sharpness, so that a budget shared among them is not shared evenly
    sharpness = torch.logspace(-0.5, 0.7, H)[:, None, None]
    q = torch.randn(1, H, S, D, generator=generator) * sharpness
    return q, torch.randn(1, G, S, D, generator=generator)


def _entries(selection: object, heads: int) -> list[torch.Tensor]:
    assert not isinstance(selection, Everything)
    lists = [x for x in vars(selection).values() if isinstance(x, torch.Tensor)]
    assert all(x.shape[1] == heads for x in lists)
    return lists


def _same(whole: list[torch.Tensor], part: list[torch.Tensor], lo: int, hi: int) -> bool:
    """Lists may be wider than needed where other heads' are longer: what lies past the counts is ignored."""
    pairs = zip(whole, part, strict=True)
    return all(torch.equal(a[:, lo:hi][..., : b.shape[-1]], b[..., : a.shape[-1]]) for a, b in pairs)


@pytest.mark.parametrize("name", _methods("prefill"))
def test_prefill(name: str) -> None:
    method = _method(name, "prefill")
    q, k = _inputs()
    for budget in BUDGETS:
        whole = _entries(method.select(q, k, budget, Layer(1, D**-0.5)), H)
        part = _entries(method.select(q[:, H // 2 :], k[:, G // 2 :], budget, Layer(1, D**-0.5)), H // 2)
        assert _same(whole, part, H // 2, H)


@pytest.mark.parametrize("name", _methods("decode"))
def test_decode(name: str) -> None:
    method = _method(name, "decode")
    q, k = _inputs()
    steps = q[0, :, :2].transpose(0, 1)

    def entries(heads: slice, kv: slice) -> list[torch.Tensor]:
        window = q[0, heads, S - method.window : S] if method.window else q[0, heads, S:]
        state = method.prepare(k[0, kv], window, Layer(1, D**-0.5))
        selection = method.select(state, steps[:, heads], BUDGETS)
        return _entries(selection, kv.stop - kv.start)

    whole, part = entries(slice(0, H), slice(0, G)), entries(slice(H // 2, H), slice(G // 2, G))
    assert _same(whole, part, G // 2, G)
