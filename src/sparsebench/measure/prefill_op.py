"""One layer's prefill attention: selection, attention over it, and both, against the fastest dense backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from sparsebench.counting import causal_pairs, prefill_pairs
from sparsebench.engine.attention import Call
from sparsebench.measure.bench import Bench, Sweeps
from sparsebench.measure.dense import dense, fastest_dense
from sparsebench.measure.device import reset_peak
from sparsebench.measure.timing import time_work
from sparsebench.methods.base import Layer, PrefillMethod

INPUT_SETS = 4
LONG_TOK = 32768  # from here on two input sets do: each is larger than any cache


def measure_prefill_op(bench: Bench, methods: Sweeps, length: int) -> Iterator[dict[str, Any]]:
    """A row per method and sparsity at one length."""
    B, H, G, D = bench.shape.batch, bench.shape.heads, bench.shape.kv_heads, bench.shape.head_dim
    sets = INPUT_SETS if length <= LONG_TOK else 2
    repeats = 9 if length <= LONG_TOK else 5
    q, k, v = ([bench.random(B, n, length, D) for _ in range(sets)] for n in (H, G, G))
    layer = Layer(0, D**-0.5, seeds=tuple(range(B)), impl=bench.ops.impl)
    calls = [Call(0, q[i], k[i], v[i], layer.scale, None, None) for i in range(sets)]

    def whole(backend: str, i: int) -> Tensor:
        return dense(backend, q[i % sets], k[i % sets], v[i % sets], layer.scale)

    baseline = fastest_dense(lambda name: time_work(lambda i: whole(name, i), bench.device, repeats, 2), bench.device)
    for entry, sparsities in methods:
        method = entry.method
        assert isinstance(method, PrefillMethod)
        for sparsity in sparsities:
            reset_peak(bench.device)
            budget = 1.0 - sparsity
            ready = [method.select(c.q, c.k, budget, layer) for c in calls]
            pairs = float(prefill_pairs(ready[0], length).double().mean())

            def select(i: int, method: PrefillMethod = method, budget: float = budget) -> Any:
                return method.select(calls[i % sets].q, calls[i % sets].k, budget, layer)

            def attend(i: int, ready: list[Any] = ready) -> Tensor:
                return bench.ops.prefill(ready[i % sets], calls[i % sets])

            def both(i: int, select: Any = select) -> Tensor:
                return bench.ops.prefill(select(i), calls[i % sets])

            estimation, attention, total = (
                time_work(work, bench.device, repeats, 2) for work in (select, attend, both)
            )
            yield bench.row(
                entry,
                length,
                sparsity,
                pairs / causal_pairs(length),
                estimation.median,
                attention,
                total,
                baseline,
                flops=4.0 * D * H * B * pairs,
                moved=2.0 * B * G * length * D * q[0].element_size(),
            )
