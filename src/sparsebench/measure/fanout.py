"""A whole job of many decode settings over one prompt: as one batch, row by row, and as it is done today."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from sparsebench.engine.generate import Generator
from sparsebench.engine.rows import DecodeSetting, Job, PrefillSetting
from sparsebench.measure.bench import Sweeps, with_dense
from sparsebench.measure.device import peak_mib, provenance, reset_peak
from sparsebench.measure.subject import NoText, Subject, endless
from sparsebench.measure.timing import time_now
from sparsebench.measure.today import transformers_loop
from sparsebench.methods.base import DecodeMethod
from sparsebench.methods.dense import DenseDecode, DensePrefill
from sparsebench.tables import MEASUREMENTS

log = logging.getLogger("sparsebench")
TODAY_STEPS = 12  # of transformers' loop; its whole job is computed from them, and takes minutes


def measure_fanout(subject: Subject, methods: Sweeps, lengths: Sequence[int], new_tok: int) -> pa.Table:
    """A job done in three ways, at each length, as a table of :data:`sparsebench.tables.MEASUREMENTS`.

    The job: every decode method at each of its sparsities, and dense, answer one prompt with ``new_tok`` tokens. The
    ways: ``transformers``, one prefill and one loop a setting, computed from its own prefill and steps; ``alone``, each
    setting by this engine on its own; ``one_batch``, all settings over one prefill.
    """
    rows = [row for length in lengths for row in _ways(subject, methods, length, new_tok)]
    return pa.Table.from_pylist(rows, MEASUREMENTS.with_metadata(provenance(subject.device, subject.ceilings)))


def _ways(subject: Subject, methods: Sweeps, length: int, new_tok: int) -> Iterator[dict[str, Any]]:
    decode = with_dense([m for m in methods if m[0].method.phase == "decode"], DenseDecode())
    settings = [
        DecodeSetting(entry.method, 1.0 - sparsity)
        for entry, sparsities in decode
        for sparsity in sparsities
        if isinstance(entry.method, DecodeMethod)
    ]
    rows = len(settings)
    first, steps = transformers_loop(subject, length, TODAY_STEPS)
    today = rows * (first + (new_tok - 1) * steps.median)
    facts = {"estimated": True, "prefill_ms": first, "step_ms": steps.median}
    yield _row(subject, "transformers", length, rows, new_tok, today, today, 1.0, facts)
    with endless(subject.model):
        _answer(subject, [settings], length, 3)  # compiles what the others should not wait for
        for way, groups in (("one_batch", [settings]), ("alone", [[setting] for setting in settings])):
            reset_peak(subject.device)
            ms, density, facts = _answer(subject, groups, length, new_tok)
            yield {
                **_row(subject, way, length, rows, new_tok, ms, today, density, facts),
                "peak_mib": peak_mib(subject.device),
            }


def _answer(
    subject: Subject, groups: Sequence[Sequence[DecodeSetting]], length: int, new_tok: int
) -> tuple[float, float, dict[str, Any]]:
    """Milliseconds for all groups one after the other, mean decode density, and where the time went."""
    generator = Generator(subject.model, NoText(), subject.ops)
    question, dense = subject.question(length, new_tok), PrefillSetting(DensePrefill(), 1.0)
    densities: list[float] = []
    began = time_now(subject.device)
    for group in groups:
        [answers] = generator.answer([Job(question, dense, tuple(group))])
        densities += [answer.decode_density for answer in answers]
    ms = 1e3 * (time_now(subject.device) - began)
    facts = {
        "prefills": generator.prefills,
        "prefill_ms": 1e3 * generator.prefill_s,
        "steps": generator.steps,
        "step_ms": 1e3 * generator.decode_s / generator.steps,
    }
    return ms, sum(densities) / len(densities), facts


def _row(
    subject: Subject,
    way: str,
    length: int,
    rows: int,
    new_tok: int,
    ms: float,
    today_ms: float,
    density: float,
    facts: dict[str, Any],
) -> dict[str, Any]:
    log.info("%d rows, %d tokens, %d new, %s: %.4g s, %.3gx", rows, length, new_tok, way, ms / 1e3, today_ms / ms)
    return {
        **subject.row(),
        "kind": "fanout",
        "phase": "both",
        "method": way,
        "params": json.dumps(facts, sort_keys=True),
        "length_tok": length,
        "sparsity": 0.0,
        "density": density,
        "rows": rows,
        "new_tok": new_tok,
        "cache": "shared",
        "time_ms": ms,
        "spread_ms": None,
        "readings": 1,
        "baseline": "transformers",
        "baseline_ms": today_ms,
        "speedup": today_ms / ms,
    }
