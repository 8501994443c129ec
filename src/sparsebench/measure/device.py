"""What the device is, and what it can do at best: the two ceilings that every figure is held against."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

import torch

from sparsebench.measure.timing import time_work
from sparsebench.provenance import device_name, stamp


@dataclass(frozen=True)
class Ceilings:
    """Measured on random data: a copy within memory (bytes read plus written), and a square matrix product."""

    copy_tb_s: float
    matmul_tflop_s: float


def measure_ceilings(device: torch.device, dtype: torch.dtype) -> Ceilings:
    """Copy bandwidth and matrix rate of ``device``; the product is of ``dtype``."""
    cuda = device.type == "cuda"
    size, side = (2**32, 8192) if cuda else (2**28, 1024)
    source = torch.randint(0, 255, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = time_work(lambda _: target.copy_(source), device).median
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    product = time_work(lambda _: a @ b, device, repeats=9).median
    return Ceilings(2 * size / copy / 1e9, 2 * side**3 / product / 1e9)


def reset_peak(device: torch.device) -> None:
    """Begin a new count of the most memory in use."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_mib(device: torch.device) -> float | None:
    """Most device memory in use since :func:`reset_peak`; None on a CPU, which keeps no such count."""
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None


def provenance(device: torch.device, ceilings: Ceilings) -> dict[str, str]:
    """Metadata of a table of measurements: device, driver, versions, ceilings."""
    found = stamp(
        device=device_name(), copy_tb_s=f"{ceilings.copy_tb_s:.4g}", matmul_tflop_s=f"{ceilings.matmul_tflop_s:.4g}"
    )
    if device.type == "cuda":
        found["capability"] = ".".join(map(str, torch.cuda.get_device_capability(device)))
        found["driver"] = _driver(device)
        found["cuda"] = str(torch.version.cuda)
    return found


def _driver(device: torch.device) -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "-i", str(device.index or 0)]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
