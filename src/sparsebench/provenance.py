"""Where a table comes from: versions and device, for schema metadata and the report."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "sparsebench",
    "torch",
    "transformers",
    "triton",
    "snakemake",
    "polars",
    "pyarrow",
    "altair",
    "numpy",
    "scipy",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on; those not installed are left out."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def device_name() -> str:
    """The device that inference runs on here: the GPU's name, or the processor's with its thread count."""
    import torch

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    threads = torch.get_num_threads()
    return f"CPU {_processor()} ({threads} {'thread' if threads == 1 else 'threads'})"


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open() as info:
            names = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def stamp(**more: str) -> dict[str, str]:
    """Metadata of a table written now; ``more`` adds entries (the cell's spec, digests)."""
    return {"versions": json.dumps(versions()), **more}
