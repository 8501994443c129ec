"""What jobs ask a cluster for: enough for models whose needs are known, and more after each failure."""

from __future__ import annotations

import pytest

from sparsebench.jobsize import memory_mb, runtime_min, scoring_min, synthesis_min
from sparsebench.models.info import ModelInfo
from sparsebench.spec import CellSpec, MethodSpec, Sweep


def _info(layers: int, heads: int, kv_heads: int, head_dim: int, hidden: int, weights_bytes: int) -> ModelInfo:
    return ModelInfo(
        name="m", source="x", folder="x", weights_digest="x", tokenizer_digest="x", max_length_tok=131072,
        architecture="x", layers=layers, heads=heads, kv_heads=kv_heads, head_dim=head_dim, hidden=hidden,
        weights_bytes=weights_bytes,
    )  # fmt: skip


LLAMA_70B = _info(80, 64, 8, 128, 8192, 141_000_000_000)
SMOLLM = _info(30, 9, 3, 64, 576, 269_000_000)


def _cell(length: int, samples: int = 50, **more: object) -> CellSpec:
    sweep = Sweep(spec=MethodSpec(label="dense", method="dense"), sparsities=(0.0,))
    quest = Sweep(spec=MethodSpec(label="quest", method="quest"), sparsities=(0.5, 0.8, 0.9, 0.95))
    return CellSpec(
        model="m", prefill=sweep, decode=(sweep, quest), task="t", length_tok=length, samples=samples, **more
    )


def test_host_memory_of_a_gpu_job_holds_the_weights_once() -> None:
    assert 141_000 < memory_mb(_cell(131072), LLAMA_70B, gpus=4) < 160_000


def test_memory_on_a_cpu_holds_them_in_float32() -> None:
    # measured on two cores: peak 1.6 GB in bfloat16 at 1K, without Snakemake's own processes
    small = memory_mb(_cell(1024, dtype="bfloat16"), SMOLLM, gpus=0)
    assert 2500 < small < 7000
    assert memory_mb(_cell(1024, dtype="float32"), SMOLLM, gpus=0) == pytest.approx(small + 269, abs=1)


def test_time_grows_with_length_samples_and_model() -> None:
    short, long = (runtime_min(_cell(n), LLAMA_70B, 4, 8) for n in (16384, 131072))
    assert 15 < short < long
    assert runtime_min(_cell(131072, samples=100), LLAMA_70B, 4, 8) > long
    assert runtime_min(_cell(16384), SMOLLM, 0, 2) < runtime_min(_cell(16384), LLAMA_70B, 0, 2)
    # a cell of the largest model at the longest prompts fits a day's queue
    assert long < 24 * 60


def test_the_demo_s_cells_fit_with_room() -> None:
    # recorded: prefill of 1K tokens takes 1.3 s and a decode step 0.1 s on two threads
    assert runtime_min(_cell(1024, samples=10), SMOLLM, 0, 1) * 60 > 10 * (10 * 1.3 + 2 * 50 * 0.1)


def test_small_jobs_have_ten_times_what_was_measured_and_bundles_of_them_fit_a_day() -> None:
    # 100 samples at 128K took 42 s (docs/tasks.md), 46 s on a busy machine
    assert synthesis_min(100, 131072) * 60 > 10 * 46
    assert 25 * synthesis_min(100, 131072) < 24 * 60 and 25 * scoring_min(100 * 16) < 24 * 60
    assert synthesis_min(10_000, 131072) * 60 > 10 * 4600


@pytest.mark.parametrize(
    "estimate",
    [
        lambda attempt: memory_mb(_cell(1024), SMOLLM, 0, attempt),
        lambda attempt: runtime_min(_cell(1024), SMOLLM, 0, 2, attempt),
        lambda attempt: synthesis_min(100, 131072, attempt),
        lambda attempt: scoring_min(1600, attempt),
    ],
)
def test_a_retry_asks_for_more(estimate) -> None:
    assert estimate(2) >= 2 * estimate(1) - 1
    assert estimate(3) > estimate(2)
