"""Whole models: time to the first token by prefill method, time per output token by decode method, KV really held."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import torch

from sparsebench.engine.batch import Batch, prefill_batch, start_decoding
from sparsebench.engine.rows import DecodeSetting, Job, PrefillSetting
from sparsebench.measure.bench import Labelled, Sweeps, with_dense
from sparsebench.measure.device import peak_mib, provenance, reset_peak
from sparsebench.measure.subject import Subject
from sparsebench.measure.timing import Timing, time_now
from sparsebench.measure.today import transformers_loop
from sparsebench.methods.base import DecodeMethod, PrefillMethod
from sparsebench.methods.dense import DenseDecode, DensePrefill
from sparsebench.spec import Cache
from sparsebench.tables import MEASUREMENTS

log = logging.getLogger("sparsebench")

SECONDS = 12  # a setting whose prefills take longer in all is read only twice
WARM_STEPS, STEPS = 3, 30
DENSE, TODAY = "dense", "transformers"
TODAY_TOK = 9


def measure_generation(
    subject: Subject,
    methods: Sweeps,
    lengths: Sequence[int],
    caches: Sequence[Cache] = ("shared", "compacted"),
) -> pa.Table:
    """Time a whole model.

    Parameters
    ----------
    subject
        The model.
    methods
        Methods of either phase, each with its sparsities. Prefill methods are timed to the first token (decode dense),
        decode methods per output token (prefill dense), each as a single row.
    lengths
        Prompt lengths in tokens.
    caches
        How decode methods hold the cache; only methods that evict can be ``compacted``. Dense is always ``shared``.

    Returns
    -------
    A table of :data:`sparsebench.tables.MEASUREMENTS`.
    """
    rows: list[dict[str, Any]] = []
    for length in lengths:
        rows += measure_model(subject, methods, length, caches)
    return pa.Table.from_pylist(rows, MEASUREMENTS.with_metadata(provenance(subject.device, subject.ceilings)))


@torch.inference_mode()
def measure_model(subject: Subject, methods: Sweeps, length: int, caches: Sequence[Cache]) -> list[dict[str, Any]]:
    """Rows of one model at one length: transformers' own loop, this engine's dense, methods.

    The baseline of every row is the faster of the two dense ones.
    """
    prefill = with_dense([m for m in methods if m[0].method.phase == "prefill"], DensePrefill())
    decode = with_dense([m for m in methods if m[0].method.phase == "decode"], DenseDecode())
    rows = [*_today(subject, length), *_prefill(subject, prefill, length), *_decode(subject, decode, length, caches)]
    for row in rows:
        dense = [x for x in rows if x["phase"] == row["phase"] and x["method"] in (DENSE, TODAY)]
        best = min(dense, key=lambda x: x["time_ms"])
        ratio = best["time_ms"] / row["time_ms"]
        row |= {"baseline": best["method"], "baseline_ms": best["time_ms"], "speedup": ratio}
        log.info(
            "%s %s, %d tokens, sparsity %g, %s: %.4g ms, %.3gx %s",
            row["phase"], row["method"], length, row["sparsity"], row["cache"], row["time_ms"], ratio, best["method"],
        )  # fmt: skip
    return rows


def _row(subject: Subject, phase: str, entry: Labelled, length: int, sparsity: float, timing: Timing) -> dict[str, Any]:
    return {
        **subject.row(),
        "kind": "generation",
        "phase": phase,
        "method": entry.label,
        "params": entry.params(),
        "length_tok": length,
        "sparsity": sparsity,
        "rows": 1,
        "cache": "shared",
        "time_ms": timing.median,
        "spread_ms": timing.spread,
        "readings": len(timing.readings),
    }


def _prefill_facts(subject: Subject, length: int, density: float, ms: float) -> dict[str, Any]:
    flops = subject.prefill_flops(length, density)
    return {
        "density": density,
        "tflop_s": flops / ms / 1e9,
        "floor_ms": flops / subject.ceilings.matmul_tflop_s / 1e9,
    }


def _step_facts(subject: Subject, length: int, density: float, ms: float) -> dict[str, Any]:
    moved = subject.step_weight_bytes() + subject.step_kv_bytes(length, density)
    return {
        "density": density,
        "tb_s": moved / ms / 1e9,
        "floor_ms": moved / subject.ceilings.copy_tb_s / 1e9,
    }


def _today(subject: Subject, length: int) -> Iterator[dict[str, Any]]:
    reset_peak(subject.device)
    first, steps = transformers_loop(subject, length, TODAY_TOK)
    entry = Labelled(TODAY, DenseDecode())
    for phase, timing in (("prefill", Timing((first,))), ("decode", steps)):
        facts = (
            _prefill_facts(subject, length, 1.0, timing.median)
            if phase == "prefill"
            else _step_facts(subject, length, 1.0, timing.median)
        )
        yield {
            **_row(subject, phase, entry, length, 0.0, timing),
            **facts,
            "new_tok": TODAY_TOK,
            "kv_mib": subject.step_kv_bytes(length, 1.0) / 2**20,  # its cache drops what lies behind a window
            "peak_mib": peak_mib(subject.device),
        }


def _prefill(subject: Subject, methods: Sweeps, length: int) -> Iterator[dict[str, Any]]:
    decode = (DecodeSetting(DenseDecode(), 1.0),)
    question = subject.question(length, 1)
    for entry, sparsities in methods:
        assert isinstance(entry.method, PrefillMethod)
        for sparsity in sparsities:
            job = Job(question, PrefillSetting(entry.method, 1.0 - sparsity), decode)
            densities: list[float] = []

            def first_token(job: Job = job, densities: list[float] = densities) -> None:
                batch = prefill_batch(subject.model, subject.ops, [job])
                start_decoding(subject.model, subject.ops, batch, "shared").step()
                densities[:] = batch.densities

            reset_peak(subject.device)
            timing = _readings(first_token, subject.device)
            yield {
                **_row(subject, "prefill", entry, length, sparsity, timing),
                **_prefill_facts(subject, length, densities[0], timing.median),
                "new_tok": 1,
                "kv_mib": subject.kv_bytes(length) / 2**20,
                "peak_mib": peak_mib(subject.device),
            }


def _readings(work: Callable[[], None], device: torch.device, most: int = 5) -> Timing:
    """Up to ``most`` readings in milliseconds within ``SECONDS``, at least two, after one more that is not counted."""
    readings: list[float] = []
    first = time_now(device)
    while len(readings) < 3 or (len(readings) <= most and time_now(device) - first < SECONDS):
        began = time_now(device)
        work()
        readings.append(1e3 * (time_now(device) - began))
    return Timing(tuple(readings[1:]))


def _decode(subject: Subject, methods: Sweeps, length: int, caches: Sequence[Cache]) -> Iterator[dict[str, Any]]:
    settings = [
        (entry, sparsity, DecodeSetting(entry.method, 1.0 - sparsity))
        for entry, sparsities in methods
        for sparsity in sparsities
        if isinstance(entry.method, DecodeMethod)
    ]
    job = Job(
        subject.question(length, 1 + WARM_STEPS + STEPS),
        PrefillSetting(DensePrefill(), 1.0),
        tuple(setting for *_, setting in settings),
    )
    batch = prefill_batch(subject.model, subject.ops, [job])
    for number, (entry, sparsity, _) in enumerate(settings):
        for cache in _caches(entry, caches):
            reset_peak(subject.device)
            timing, density, held = time_steps(subject, batch.only([number]), cache)
            yield {
                **_row(subject, "decode", entry, length, sparsity, timing),
                **_step_facts(subject, length, density, timing.median),
                "cache": cache,
                "new_tok": STEPS,
                "kv_mib": held / 2**20,
                "peak_mib": peak_mib(subject.device),
            }


def _caches(entry: Labelled, wanted: Sequence[Cache]) -> Sequence[Cache]:
    """Those of ``wanted`` that the method can use; dense, which others are held against, is always measured."""
    if entry.label == DENSE:
        return ("shared",)
    return wanted if entry.method.axes.cache == "evict" else [cache for cache in wanted if cache == "shared"]


def time_steps(subject: Subject, batch: Batch, cache: Cache) -> tuple[Timing, float, int]:
    """Readings of single decode steps of all rows of ``batch``, their mean density, and bytes held."""
    stepper = start_decoding(subject.model, subject.ops, batch, cache)
    for _ in range(WARM_STEPS):
        stepper.step()
    readings = []
    for _ in range(STEPS):
        began = time_now(subject.device)
        stepper.step()
        readings.append(1e3 * (time_now(subject.device) - began))
    densities = stepper.run.densities()
    return Timing(tuple(readings)), sum(densities) / len(densities), stepper.run.held_bytes()
