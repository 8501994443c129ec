"""One decode step of all rows of a fan-out: every method at every budget, over one store of prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from sparsebench.engine.attention import Call
from sparsebench.engine.lists import Lists
from sparsebench.engine.ops import Ops
from sparsebench.engine.rows import DecodeSetting
from sparsebench.engine.store import PromptStore
from sparsebench.methods.base import DecodeMethod
from sparsebench.selection import DecodeSelection, TokenSelection


@dataclass(frozen=True)
class FanoutRow:
    """A row: its prompt, its setting, and its method's state by global layer."""

    prompt: int
    setting: DecodeSetting
    states: dict[int, Any]


@dataclass(frozen=True)
class _Group:
    """Consecutive rows of one prompt that one method serves: a single ``select`` for all of them."""

    method: DecodeMethod
    states: dict[int, Any]
    rows: slice
    budgets: tuple[float, ...]
    length: int


def _groups(rows: Sequence[FanoutRow], lengths: Sequence[int]) -> list[_Group]:
    found: list[_Group] = []
    runs = groupby(range(len(rows)), lambda i: (rows[i].prompt, id(rows[i].setting.method)))
    for members in (list(ids) for _, ids in runs):
        first = rows[members[0]]
        budgets = tuple(rows[i].setting.budget for i in members)
        place = slice(members[0], members[-1] + 1)
        found.append(_Group(first.setting.method, first.states, place, budgets, lengths[first.prompt]))
    return found


def storages(value: Any) -> Iterator[torch.UntypedStorage]:
    """Storages of all tensors in nested lists, tuples, dicts and dataclasses; views share one."""
    if isinstance(value, Tensor):
        yield value.untyped_storage()
    elif is_dataclass(value) and not isinstance(value, type):
        yield from storages([getattr(value, field.name) for field in fields(value)])
    elif isinstance(value, dict):
        yield from storages(list(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from storages(part)


class FanoutPass:
    """Runs the attention of decode steps: one new token per row and step.

    A row owns its index lists and its suffix (the last prompt token and what it generated), which is always attended
    to. Selections of ``fixed`` methods are made once, the others anew at each step from the current query.

    Parameters
    ----------
    store
        Keys and values of all prompts, written by prefill.
    rows
        Rows; those of one prompt and method should share ``states``.
    max_steps
        Room for the suffix.
    fixed_size
        Attend to suffix buffers of ``max_steps`` with their valid length on the device, so that every step runs the
        same kernels on the same addresses and can be captured as a CUDA graph. Needs ops that take ``suffix_len``, and
        sliding windows of at least ``max_steps``.
    """

    def __init__(
        self, ops: Ops, store: PromptStore, rows: Sequence[FanoutRow], max_steps: int, fixed_size: bool = False
    ) -> None:
        self._ops, self._store, self._max_steps, self._fixed_size = ops, store, max_steps, fixed_size
        self.rows = list(rows)
        self.device = store.layer(store.layers()[0])[0].device
        self.lists: dict[int, Lists] = {}
        self._suffix: dict[int, tuple[Tensor, Tensor]] = {}
        self._length = torch.tensor([store.lengths[r.prompt] for r in rows], dtype=torch.float64, device=self.device)
        self._layers = len(rows[0].states)  # global ones: methods prepare no others
        # entries read so far [R, G] of rows that select anew, by number of KV heads
        self._reads: dict[int, Tensor] = {}
        self._step = 0
        self._at = torch.zeros(1, dtype=torch.int64, device=self.device)
        self._filled = torch.ones(len(rows), dtype=torch.int32, device=self.device)
        self._regroup()
        self._fixed_share = self._select_fixed()

    def _regroup(self) -> None:
        groups = _groups(self.rows, self._store.lengths)
        self._fixed = [g for g in groups if g.method.fixed]
        self._moving = [g for g in groups if not g.method.fixed]

    def _select_fixed(self) -> Tensor:
        """Select for fixed methods; returns the share that each row reads per step, summed over global layers [R]."""
        spans = torch.tensor([self._store.span(r.prompt) for r in self.rows], dtype=torch.int32, device=self.device)
        share = torch.zeros_like(self._length)
        for layer in self._store.layers():
            k, _ = self._store.layer(layer)
            self.lists[layer] = Lists(spans, k.shape[0])
            for group in self._fixed:
                if layer in group.states:
                    # No query exists yet, and a fixed method must not read its values: NaN shows one that does.
                    q = k.new_full((len(group.budgets), k.shape[0], k.shape[-1]), torch.nan)
                    self.lists[layer].put(group.rows, group.method.select(group.states[layer], q, group.budgets))
            if layer in self.rows[0].states:
                share += self.lists[layer].shares(self._length)
        # what fixed methods prepared has done its work
        self.rows = [replace(row, states={}) if row.setting.method.fixed else row for row in self.rows]
        return share

    def attend(self, call: Call) -> Tensor:
        """Attention of one token per row; q [R, H, 1, D], output alike."""
        k_suffix, v_suffix = self._append(call)
        lists = self.lists[call.layer]
        q = call.q[:, :, 0]
        k, v = self._store.layer(call.layer)
        if call.window is None:
            for group in self._moving:
                chosen = group.method.select(group.states[call.layer], q[group.rows], group.budgets)
                lists.put(group.rows, chosen)
                self._tally(group, chosen, k.shape[0])
            span = lists.span
        else:
            # The window reaches back from the current token over the suffix first, then over the prompt's end.
            reach = (call.window - 1 - self._at).clamp(min=0).int()
            span = torch.stack([torch.maximum(lists.span[:, 0], lists.span[:, 1] - reach), lists.span[:, 1]], 1)
            k_suffix, v_suffix = k_suffix[:, :, -call.window :], v_suffix[:, :, -call.window :]
        filled = {"suffix_len": self._filled} if self._fixed_size else {}
        out = self._ops.sparse_decode(
            q,
            k,
            v,
            span,
            lists.tokens,
            lists.count,
            k_suffix,
            v_suffix,
            scale=call.scale,
            softcap=call.softcap,
            **filled,
        )
        return out[:, :, None]

    def _tally(self, group: _Group, chosen: DecodeSelection, heads: int) -> None:
        if heads not in self._reads:
            self._reads[heads] = torch.zeros(len(self.rows), heads, dtype=torch.int64, device=self.device)
        read = chosen.count if isinstance(chosen, TokenSelection) else group.length
        self._reads[heads][group.rows].add_(read)

    def _append(self, call: Call) -> tuple[Tensor, Tensor]:
        if call.layer not in self._suffix:
            rows, heads, _, dim = call.k.shape
            shape = (rows, heads, self._max_steps)
            self._suffix[call.layer] = (call.k.new_empty((*shape, dim)), call.v.new_empty((*shape, call.v.shape[-1])))
        k, v = self._suffix[call.layer]
        k.index_copy_(2, self._at, call.k)
        v.index_copy_(2, self._at, call.v)
        end = self._max_steps if self._fixed_size else self._step + 1
        return k[:, :, :end], v[:, :, :end]

    def advance(self) -> None:
        """Move the device's place in the suffix on by one; part of the step itself."""
        self._at += 1
        self._filled += 1

    def step_done(self) -> None:
        """Say that a step has run, all its layers and :meth:`advance`."""
        self._step += 1

    def densities(self) -> list[float]:
        """Measured share of prompt KV entries read per step, per row: mean over steps, global layers and KV heads."""
        if not self._layers or not self._step:
            return [1.0] * len(self.rows)
        moving = sum((read.double().mean(1) for read in self._reads.values()), torch.zeros_like(self._length))
        moving /= self._length * self._step * self._layers
        fixed = self._fixed_share / self._layers
        shares = zip(self.rows, fixed.tolist(), moving.tolist(), strict=True)
        return [once if row.setting.method.fixed else anew for row, once, anew in shares]

    def held_bytes(self) -> int:
        """Bytes of all that decoding holds: prompts, suffixes, index lists and the methods' state, each tensor once."""
        held = [self._store.tensors(), self._suffix, [(x.span, x.tokens, x.count) for x in self.lists.values()]]
        found = {t.data_ptr(): t.nbytes() for t in storages([held, [row.states for row in self.rows]])}
        return sum(found.values())

    def keep(self, rows: Sequence[int]) -> None:
        """Drop the rows that are done; the others go on, renumbered in the order given."""
        index = torch.tensor(list(rows), device=self.device)
        self.rows = [self.rows[i] for i in rows]
        for lists in self.lists.values():
            lists.keep(index)
        self._suffix = {layer: (k[index], v[index]) for layer, (k, v) in self._suffix.items()}
        self._reads = {heads: read[index] for heads, read in self._reads.items()}
        self._length, self._filled = self._length[index], self._filled[index]
        self._fixed_share = self._fixed_share[index]
        self._regroup()
