"""Latency of one layer's attention by method, length and sparsity, selection included."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from sparsebench.engine.load import pick_device, pick_dtype
from sparsebench.engine.ops import load_ops
from sparsebench.measure.bench import Bench, Shape, Sweeps
from sparsebench.measure.decode_op import measure_decode_op
from sparsebench.measure.device import measure_ceilings, provenance
from sparsebench.measure.prefill_op import measure_prefill_op
from sparsebench.spec import DType, Impl
from sparsebench.tables import MEASUREMENTS

log = logging.getLogger("sparsebench")


def measure_attention(
    methods: Sweeps,
    lengths: Iterable[int],
    shape: Shape | None = None,
    impl: Impl = "auto",
    dtype: DType = "auto",
) -> pa.Table:
    """Time methods against the fastest dense backend, on random normal inputs that rotate between calls.

    On a GPU prefill runs as separate launches, decode as a captured CUDA graph with all rows at one sparsity. On a CPU
    both are timed by the clock. Selections of methods with ``fixed`` are made once, outside the timing, as in the
    engine.

    Parameters
    ----------
    methods
        Methods of either phase, each with its sparsities.
    lengths
        Prompt lengths in tokens.
    shape
        The layer; that of Llama-3.1-8B when omitted.

    Returns
    -------
    A table of :data:`sparsebench.tables.MEASUREMENTS`, with device, driver, versions and the measured ceilings
    in its metadata.
    """
    device = pick_device()
    number = pick_dtype(dtype, device)
    ceilings = measure_ceilings(device, number)
    log.info("ceilings: copy %.3g TB/s, matrix product %.3g TFLOP/s", ceilings.copy_tb_s, ceilings.matmul_tflop_s)
    bench = Bench(device, number, load_ops(impl, device), ceilings, shape or Shape())
    rows: list[dict[str, Any]] = []
    for length in lengths:
        for phase, measure in (("prefill", measure_prefill_op), ("decode", measure_decode_op)):
            chosen = [(entry, at) for entry, at in methods if entry.method.phase == phase]
            if not chosen:
                continue
            for row in measure(bench, chosen, length):
                log.info(
                    "%s %s, %d tokens, sparsity %g: %.4g ms, %s %.4g ms, %.3gx",
                    phase, row["method"], length, row["sparsity"], row["time_ms"], row["baseline"],
                    row["baseline_ms"], row["speedup"],
                )  # fmt: skip
                rows.append(row)
    return pa.Table.from_pylist(rows, MEASUREMENTS.with_metadata(provenance(device, ceilings)))
