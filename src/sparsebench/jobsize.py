"""What jobs ask of a cluster: memory and time, on the safe side.

A job that asked for too little is killed, keeps its finished rows, and asks for more the next time; one that asked for
far too much waits long in the queue. Speeds are therefore slow ones of each kind of device, not expectations.
``sparsebench plan`` gives those.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from sparsebench.models.info import ModelInfo
from sparsebench.spec import CellSpec

ANSWER_TOK = 256


@dataclass(frozen=True)
class Device:
    """A slow device of a kind: FLOP/s and bytes/s that it surely reaches, seconds that any decode step takes."""

    flops: float
    bandwidth: float
    step_s: float


GPU = Device(flops=5e13, bandwidth=5e11, step_s=0.1)
CPU_THREAD = Device(flops=1.5e10, bandwidth=2e9, step_s=0.15)

START_MIN = 15  # reading weights from a shared disk, compiling kernels
HOST_MB = 3000  # Python, torch, transformers and Snakemake's own two processes
BATCH_MB = 2000  # for prompts that run together, unless the config says how much
GPU_HOST_MB = 6000  # CUDA's libraries and contexts
SMALL_START_MIN = 2  # of a job without a model
SYNTHESIS_TOK_MIN = 1.7e6  # a tenth of what docs/tasks.md measured
SCORED_ROWS_MIN = 200  # of tasks that run what a model wrote


def memory_mb(cell: CellSpec, info: ModelInfo, gpus: int, attempt: int = 1) -> int:
    """Host memory of the cell's job in MB; grows with ``attempt``."""
    weights = info.weights_bytes / 1e6
    if gpus:
        return ceil((HOST_MB + GPU_HOST_MB + weights) * attempt)
    widened = weights * (1 if cell.dtype in ("bfloat16", "float16") else 2)  # files hold 16-bit numbers
    one_prompt = (2 * info.kv_bytes_per_tok(4) + 16 * 4 * info.hidden) * cell.length_tok / 1e6
    batch = max(cell.memory_mib or BATCH_MB, one_prompt)
    return ceil((HOST_MB + weights + widened + batch) * attempt)


def runtime_min(cell: CellSpec, info: ModelInfo, gpus: int, threads: int, attempt: int = 1) -> int:
    """Minutes that the cell's job may take if it starts from nothing; grows with ``attempt``."""
    device = GPU if gpus else CPU_THREAD
    units = gpus or threads
    prefills = cell.samples * len(cell.prefill.sparsities)
    rows = prefills * sum(len(sweep.sparsities) for sweep in cell.decode)
    length, parameters = cell.length_tok, info.weights_bytes / 2
    pairs = 4 * info.head_dim * info.heads * info.layers * length**2 / 2
    prefill_s = prefills * (2 * parameters * length + pairs) / (device.flops * units)
    steps = ceil(rows / cell.batch_rows) * ANSWER_TOK
    read = info.weights_bytes + min(rows, cell.batch_rows) * length * info.kv_bytes_per_tok(2)
    decode_s = steps * (device.step_s + read / (device.bandwidth * units))
    return ceil((START_MIN + (prefill_s + decode_s) / 60) * attempt)


def synthesis_min(samples: int, length_tok: int, attempt: int = 1) -> int:
    """Minutes that one file of samples may take; those of a bundle add up, as they are made one after the other."""
    return ceil((SMALL_START_MIN + samples * length_tok / SYNTHESIS_TOK_MIN) * attempt)


def scoring_min(rows: int, attempt: int = 1) -> int:
    """The same for scoring the rows of a cell."""
    return ceil((SMALL_START_MIN + rows / SCORED_ROWS_MIN) * attempt)
