"""Latency of one layer's attention by method, length and sparsity, selection included."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from sparsebench.counting import causal_pairs, decode_entries, prefill_pairs
from sparsebench.engine.attention import Call
from sparsebench.engine.lists import ALL
from sparsebench.engine.ops import Ops, load_ops
from sparsebench.measure.dense import dense, fastest_dense
from sparsebench.measure.device import Ceilings, measure_ceilings, provenance, require_cuda
from sparsebench.measure.schema import ATTENTION
from sparsebench.measure.timing import Timing, time_graph, time_work
from sparsebench.methods.base import DecodeMethod, Layer, PrefillMethod
from sparsebench.selection import DecodeSelection, TokenSelection

INPUT_SETS = 4
GRAPH_CALLS = 20


@dataclass(frozen=True)
class Shape:
    """One attention layer: batch entries or rows, query heads, KV heads, head dim, dtype."""

    batch: int = 1
    heads: int = 32
    kv_heads: int = 8
    head_dim: int = 128
    dtype: torch.dtype = torch.bfloat16


def measure_attention(
    methods: Sequence[PrefillMethod | DecodeMethod],
    lengths: Iterable[int],
    sparsities: Sequence[float],
    shape: Shape | None = None,
) -> pa.Table:
    """Time methods against the fastest dense backend, on random normal inputs that rotate between calls.

    Prefill runs as separate launches, decode as a captured CUDA graph with all rows at one sparsity. Selections of
    methods with ``fixed`` are made once, outside the timing, as in the engine.

    Returns
    -------
    A table of :data:`sparsebench.measure.schema.ATTENTION`, with device, driver, versions and the measured ceilings in
    its metadata.

    Raises
    ------
    UserError
        Without a CUDA device.
    """
    shape = shape or Shape()
    device = require_cuda()
    ceilings = measure_ceilings(device)
    ops = load_ops("triton", device)
    rows: list[dict[str, Any]] = []
    for length in lengths:
        for phase, measure in (("prefill", _prefill), ("decode", _decode)):
            chosen = [m for m in methods if m.phase == phase]
            if chosen:
                rows.extend(measure(chosen, length, sparsities, shape, ops, ceilings, device))
    return pa.Table.from_pylist(rows, ATTENTION.with_metadata(provenance(device, ceilings)))


def _random(shape: Shape, device: torch.device, *size: int) -> Tensor:
    return torch.randn(*size, dtype=shape.dtype, device=device)


def _prefill(
    methods: Sequence[Any],
    length: int,
    sparsities: Sequence[float],
    shape: Shape,
    ops: Ops,
    ceilings: Ceilings,
    device: torch.device,
) -> Iterator[dict[str, Any]]:
    B, H, G, D = shape.batch, shape.heads, shape.kv_heads, shape.head_dim
    sets = INPUT_SETS if length <= 32768 else 2
    q, k, v = ([_random(shape, device, B, n, length, D) for _ in range(sets)] for n in (H, G, G))
    layer = Layer(0, D**-0.5, seeds=tuple(range(B)), impl=ops.impl)
    repeats = 5 if length > 32768 else 9
    backend, baseline = fastest_dense(
        lambda name: time_work(lambda i: dense(name, q[i % sets], k[i % sets], v[i % sets], layer.scale), repeats, 2)
    )
    for method in methods:
        for sparsity in sparsities:
            budget = 1.0 - sparsity
            torch.cuda.reset_peak_memory_stats(device)
            calls = [Call(0, q[i], k[i], v[i], layer.scale, None, None) for i in range(sets)]
            ready = [method.select(c.q, c.k, budget, layer) for c in calls]
            pairs = float(prefill_pairs(ready[0], length).double().mean())

            def select(i: int, method: Any = method, budget: float = budget, calls: list[Call] = calls) -> Any:
                return method.select(calls[i % sets].q, calls[i % sets].k, budget, layer)

            def attend(i: int, ready: list[Any] = ready, calls: list[Call] = calls) -> Tensor:
                return ops.prefill(ready[i % sets], calls[i % sets])

            def both(i: int, select: Any = select, calls: list[Call] = calls) -> Tensor:
                return ops.prefill(select(i), calls[i % sets])

            estimation, attention, total = (time_work(work, repeats, 2) for work in (select, attend, both))
            flops = 4.0 * D * H * B * pairs
            rate = flops / attention.median / 1e9
            size = q[0].element_size()
            yield {
                **_common(method, length, sparsity, shape, device),
                **_times(estimation.median, attention, total, backend, baseline),
                "density": pairs / causal_pairs(length),
                "tflop_s": rate,
                "tb_s": 2.0 * B * G * length * D * size / attention.median / 1e9,
                "ceiling_share": rate / ceilings.matmul_tflop_s,
            }


def _decode(
    methods: Sequence[Any],
    length: int,
    sparsities: Sequence[float],
    shape: Shape,
    ops: Ops,
    ceilings: Ceilings,
    device: torch.device,
) -> Iterator[dict[str, Any]]:
    R, H, G, D = shape.batch, shape.heads, shape.kv_heads, shape.head_dim
    # together the sets hold several times what an L2 cache does, also where a method reads little of each
    sets = max(INPUT_SETS, 2**29 // (2 * G * length * D))
    calls = max(GRAPH_CALLS, sets)
    k, v = ([_random(shape, device, G, length, D) for _ in range(sets)] for _ in range(2))
    q = [_random(shape, device, R, H, D) for _ in range(sets)]
    suffix = [_random(shape, device, R, G, 1, D) for _ in range(2)]
    layer = Layer(0, D**-0.5, impl=ops.impl)
    span = torch.tensor([[0, length]] * R, dtype=torch.int32, device=device)

    def baseline_step(name: str, i: int) -> Tensor:
        keys, values = (x[i % sets][None].expand(R, -1, -1, -1) for x in (k, v))
        return dense(name, q[i % sets][:, :, None], keys, values, layer.scale)

    backend, baseline = fastest_dense(lambda name: time_graph(lambda i: baseline_step(name, i), calls))
    for method in methods:
        window = [_random(shape, device, H, min(method.window, length), D) for _ in range(sets)]
        states = [method.prepare(k[i], window[i], layer) for i in range(sets)]
        for sparsity in sparsities:
            budgets = [1.0 - sparsity] * R
            torch.cuda.reset_peak_memory_stats(device)
            ready = [_lists(method.select(states[i], q[i], budgets), R, G, device) for i in range(sets)]

            def select(i: int, method: Any = method, budgets: Any = budgets, states: Any = states) -> Any:
                return method.select(states[i % sets], q[i % sets], budgets)

            def attend(i: int, ready: Any = ready, chosen: TokenSelection | None = None) -> Tensor:
                at, chosen = i % sets, chosen or ready[i % sets]
                return ops.sparse_decode(
                    q[at], k[at], v[at], span, chosen.tokens, chosen.count, *suffix, scale=layer.scale
                )

            def both(i: int, select: Any = select, attend: Any = attend) -> Tensor:
                return attend(i, chosen=select(i))

            attention = time_graph(attend, calls)
            estimation = 0.0 if method.fixed else time_graph(select, calls).median
            total = attention if method.fixed else time_graph(both, calls)
            entries = float(decode_entries(ready[0], length).double().mean())
            moved = 2.0 * R * G * entries * D * q[0].element_size()
            rate = moved / attention.median / 1e9
            yield {
                **_common(method, length, sparsity, shape, device),
                **_times(estimation, attention, total, backend, baseline),
                "density": entries / length,
                "tflop_s": 4.0 * R * H * entries * D / attention.median / 1e9,
                "tb_s": rate,
                "ceiling_share": rate / ceilings.copy_tb_s,
            }


def _lists(selection: DecodeSelection, rows: int, heads: int, device: torch.device) -> TokenSelection:
    """The selection as lists; -1 stands for a whole prompt."""
    if isinstance(selection, TokenSelection):
        return selection
    empty = torch.zeros(rows, heads, 1, dtype=torch.int32, device=device)
    return TokenSelection(empty, torch.full_like(empty[..., 0], ALL))


def _common(method: Any, length: int, sparsity: float, shape: Shape, device: torch.device) -> dict[str, Any]:
    return {
        "phase": method.phase,
        "method": method.name,
        "params": json.dumps(asdict(method), sort_keys=True),
        "length_tok": length,
        "sparsity": sparsity,
        "batch": shape.batch,
        "heads": shape.heads,
        "kv_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "dtype": str(shape.dtype).removeprefix("torch."),
        "peak_mib": torch.cuda.max_memory_allocated(device) / 2**20,
    }


def _times(estimation: float, attention: Timing, total: Timing, backend: str, baseline: Timing) -> dict[str, Any]:
    return {
        "estimation_ms": estimation,
        "attention_ms": attention.median,
        "total_ms": total.median,
        "total_spread_ms": total.spread,
        "dense_ms": baseline.median,
        "dense_backend": backend,
        "speedup": baseline.median / total.median,
        "readings": len(total.readings),
    }
