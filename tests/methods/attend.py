"""Inputs, and attention over any selection through the reference ops."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from sparsebench.kernels.block_sparse_ref import block_sparse_attention
from sparsebench.kernels.dense_ref import dense_attention
from sparsebench.kernels.sparse_decode_ref import sparse_decode_attention
from sparsebench.kernels.vertical_slash_ref import vertical_slash_attention
from sparsebench.methods import load_method, method_class, method_classes, method_phases
from sparsebench.methods.base import DecodeMethod, Layer, Phase, PrefillMethod
from sparsebench.selection import BlockSelection, DecodeSelection, Everything, LineSelection, PrefillSelection
from sparsebench.spec import MethodSpec


def spec(name: str, **params: Any) -> MethodSpec:
    return MethodSpec(label=name, method=name, params=params)


# Methods outside the package are held to the same promises: SPARSEBENCH_METHODS="file.py:Class other.py:Class"
OUTSIDE = os.environ.get("SPARSEBENCH_METHODS", "").split()
METHODS: list[tuple[Phase, str]] = sorted(
    [*method_classes(), *((phase, name) for name in OUTSIDE for phase in method_phases(spec(name)))]
)
PREFILL = [name for phase, name in METHODS if phase == "prefill"]
DECODE = [name for phase, name in METHODS if phase == "decode"]


def prefill_method(name: str, **params: Any) -> PrefillMethod:
    return load_method(spec(name, **params), "prefill")


def decode_method(name: str, **params: Any) -> DecodeMethod:
    return load_method(spec(name, **params), "decode")


def fine(phase: Phase, name: str) -> Any:
    """The method with its smallest unit, so that short test prompts hold many."""
    names = {field.name for field in fields(method_class(spec(name), phase))}  # type: ignore[arg-type]
    params = {unit: 16 for unit in ("block", "page") if unit in names}
    return (prefill_method if phase == "prefill" else decode_method)(name, **params)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def attend(q: Tensor, k: Tensor, v: Tensor, selection: PrefillSelection, layer: Layer) -> Tensor:
    if isinstance(selection, Everything):
        return dense_attention(q, k, v, scale=layer.scale, softcap=layer.softcap)
    if isinstance(selection, BlockSelection):
        return block_sparse_attention(
            q, k, v, selection.blocks, selection.count, block=selection.block, scale=layer.scale, softcap=layer.softcap
        )
    lists = (selection.columns, selection.column_count, selection.diagonals, selection.diagonal_count)
    return vertical_slash_attention(q, k, v, *lists, scale=layer.scale, softcap=layer.softcap)


def attend_step(q: Tensor, k: Tensor, v: Tensor, selection: DecodeSelection, layer: Layer) -> Tensor:
    """One step of rows q [R, H, D] over one prompt k, v [G, S, D], with no suffix."""
    (R, _, D), (G, S) = q.shape, k.shape[:2]
    if isinstance(selection, Everything):
        tokens, count = torch.zeros(R, G, 1, dtype=torch.int32), torch.full((R, G), -1, dtype=torch.int32)
    else:
        tokens, count = selection.tokens, selection.count
    span = torch.tensor([[0, S]] * R, dtype=torch.int32)
    none = torch.zeros(R, G, 0, D)
    return sparse_decode_attention(q, k, v, span, tokens, count, none, none, scale=layer.scale, softcap=layer.softcap)


def lists(selection: Any) -> list[tuple[Tensor, Tensor]]:
    """(entries [..., n], count [...]) of a selection."""
    if isinstance(selection, Everything):
        return []
    if isinstance(selection, LineSelection):
        return [(selection.columns, selection.column_count), (selection.diagonals, selection.diagonal_count)]
    if isinstance(selection, BlockSelection):
        return [(selection.blocks, selection.count)]
    return [(selection.tokens, selection.count)]


def valid_lists(entries: Tensor, count: Tensor) -> list[list[int]]:
    flat = entries.reshape(-1, entries.shape[-1]).tolist()
    return [row[:n] for row, n in zip(flat, count.reshape(-1).tolist(), strict=True)]


def same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and all(
        valid_lists(*x) == valid_lists(*y) for x, y in zip(lists(a), lists(b), strict=True)
    )


def topical(H: int, G: int, T: int, D: int, seed: int, run: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    """Text-like input [1, H or G, T, D]: runs of tokens share a topic, the first token is a sink.

    Each run of queries seeks some earlier topic; the last 64 queries, the question, all seek the same two.
    """
    draw = torch.Generator().manual_seed(seed)
    runs = -(-T // run)
    topics = max(8, runs)
    key_topic = torch.randperm(topics, generator=draw)[:runs]
    centres = torch.randn(G, topics, D, generator=draw)
    k = centres[:, key_topic].repeat_interleave(run, 1)[:, :T] + 0.5 * torch.randn(G, T, D, generator=draw)
    k[:, 0] = 2 * centres.mean(1)
    v = centres.flip(1)[:, key_topic].repeat_interleave(run, 1)[:, :T] + torch.randn(G, T, D, generator=draw)
    asked = [int(torch.randint(0, runs, (1,), generator=draw)) for _ in range(2)]
    sought = [
        asked[i % 2] if i >= runs - 64 // run else int(torch.randint(0, i + 1, (1,), generator=draw))
        for i in range(runs)
    ]
    q = centres.repeat_interleave(H // G, 0)[:, key_topic[sought]].repeat_interleave(run, 1)[:, :T]
    q = 2.0 * q + 0.8 * torch.randn(H, T, D, generator=draw)
    return q[None], k[None], v[None]
