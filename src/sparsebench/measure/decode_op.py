"""One layer's decode attention: selection, attention over it, and both, against the fastest dense backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from sparsebench.counting import decode_entries
from sparsebench.engine.lists import ALL
from sparsebench.measure.bench import Bench, Sweeps
from sparsebench.measure.dense import dense, fastest_dense
from sparsebench.measure.device import reset_peak
from sparsebench.measure.timing import time_calls
from sparsebench.methods.base import DecodeMethod, Layer
from sparsebench.selection import DecodeSelection, TokenSelection

INPUT_SETS = 4
CALLS = 20  # in one graph
SETS_BYTES = 2**30  # of keys and values in all input sets: several times what an L2 cache holds


def measure_decode_op(bench: Bench, methods: Sweeps, length: int) -> Iterator[dict[str, Any]]:
    """A row per method and sparsity at one length; all rows of the batch read one prompt."""
    R, H, G, D = bench.shape.batch, bench.shape.heads, bench.shape.kv_heads, bench.shape.head_dim
    on_gpu = bench.device.type == "cuda"
    size = torch.finfo(bench.dtype).bits // 8
    # a method reads little of each set, so that there must be many
    sets = max(INPUT_SETS, SETS_BYTES // (2 * G * length * D * size)) if on_gpu else INPUT_SETS
    calls = max(CALLS, sets) if on_gpu else INPUT_SETS
    k, v = ([bench.random(G, length, D) for _ in range(sets)] for _ in range(2))
    q = [bench.random(R, H, D) for _ in range(sets)]
    suffix = [bench.random(R, G, 1, D) for _ in range(2)]
    layer = Layer(0, D**-0.5, impl=bench.ops.impl)
    span = torch.tensor([[0, length]] * R, dtype=torch.int32, device=bench.device)

    def whole(backend: str, i: int) -> Tensor:
        keys, values = (x[i % sets][None].expand(R, -1, -1, -1) for x in (k, v))
        return dense(backend, q[i % sets][:, :, None], keys, values, layer.scale)

    baseline = fastest_dense(lambda name: time_calls(lambda i: whole(name, i), calls, bench.device), bench.device)
    for entry, sparsities in methods:
        method = entry.method
        assert isinstance(method, DecodeMethod)
        window = [bench.random(H, min(method.window, length), D) for _ in range(sets)]
        states = [method.prepare(k[i], window[i], layer) for i in range(sets)]
        for sparsity in sparsities:
            reset_peak(bench.device)
            budgets = [1.0 - sparsity] * R
            ready = [_lists(method.select(states[i], q[i], budgets), R, G, bench.device) for i in range(sets)]

            def select(i: int, method: DecodeMethod = method, budgets: Any = budgets, states: Any = states) -> Any:
                return method.select(states[i % sets], q[i % sets], budgets)

            def attend(i: int, ready: Any = ready, chosen: DecodeSelection | None = None) -> Tensor:
                at, lists = i % sets, ready[i % sets] if chosen is None else _lists(chosen, R, G, bench.device)
                return bench.ops.sparse_decode(
                    q[at], k[at], v[at], span, lists.tokens, lists.count, *suffix, scale=layer.scale
                )

            def both(i: int, select: Any = select, attend: Any = attend) -> Tensor:
                return attend(i, chosen=select(i))

            attention = time_calls(attend, calls, bench.device)
            estimation = 0.0 if method.fixed else time_calls(select, calls, bench.device).median
            total = attention if method.fixed else time_calls(both, calls, bench.device)
            entries = float(decode_entries(ready[0], length).double().mean())
            yield bench.row(
                entry,
                length,
                sparsity,
                entries / length,
                estimation,
                attention,
                total,
                baseline,
                flops=4.0 * R * H * entries * D,
                moved=2.0 * R * G * entries * D * size,
            )


def _lists(selection: DecodeSelection, rows: int, heads: int, device: torch.device) -> TokenSelection:
    """The selection as lists; -1 stands for a whole prompt."""
    if isinstance(selection, TokenSelection):
        return selection
    empty = torch.zeros(rows, heads, 1, dtype=torch.int32, device=device)
    return TokenSelection(empty, torch.full_like(empty[..., 0], ALL))
