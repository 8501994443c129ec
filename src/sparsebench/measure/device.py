"""What the device is, and what it can do at best: the two ceilings that every figure is held against."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from importlib.metadata import version

import torch

from sparsebench.errors import UserError
from sparsebench.measure.timing import time_work

COPY_BYTES = 2**32
PRODUCT_SIZE = 8192


@dataclass(frozen=True)
class Ceilings:
    """Measured on random data: device-to-device copy (bytes read plus written), and a square bfloat16 product."""

    copy_tb_s: float
    matmul_tflop_s: float


def require_cuda() -> torch.device:
    """The current CUDA device; ``UserError`` without one."""
    if not torch.cuda.is_available():
        raise UserError("measure: needs a CUDA device, none is visible; timings on a CPU would say nothing of a GPU")
    return torch.device("cuda", torch.cuda.current_device())


def measure_ceilings(device: torch.device) -> Ceilings:
    """Copy bandwidth and matrix rate of ``device``."""
    source = torch.randint(0, 255, (COPY_BYTES,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = time_work(lambda _: target.copy_(source)).median
    a, b = (torch.randn(PRODUCT_SIZE, PRODUCT_SIZE, dtype=torch.bfloat16, device=device) for _ in range(2))
    product = time_work(lambda _: a @ b, repeats=9).median
    return Ceilings(2 * COPY_BYTES / copy / 1e9, 2 * PRODUCT_SIZE**3 / product / 1e9)


def provenance(device: torch.device, ceilings: Ceilings) -> dict[str, str]:
    """Metadata of a table of measurements: device, driver, versions, ceilings."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "-i", str(device.index or 0)]
    try:
        driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        driver = "unknown"
    return {
        "device": torch.cuda.get_device_name(device),
        "capability": ".".join(map(str, torch.cuda.get_device_capability(device))),
        "driver": driver,
        "cuda": str(torch.version.cuda),
        "torch": torch.__version__,
        "triton": version("triton"),
        "copy_tb_s": f"{ceilings.copy_tb_s:.3f}",
        "matmul_tflop_s": f"{ceilings.matmul_tflop_s:.1f}",
    }
