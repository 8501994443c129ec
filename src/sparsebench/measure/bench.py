"""What all measurements of one attention layer share: device, ops, ceilings, shape, and a row of the table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sparsebench.engine.ops import Ops
from sparsebench.errors import UserError
from sparsebench.measure.device import Ceilings, peak_mib
from sparsebench.measure.timing import Timing
from sparsebench.methods.base import DecodeMethod, PrefillMethod
from sparsebench.provenance import device_name


@dataclass(frozen=True)
class Shape:
    """One attention layer: batch entries or rows, query heads, KV heads, head dim."""

    batch: int = 1
    heads: int = 32
    kv_heads: int = 8
    head_dim: int = 128

    def __post_init__(self) -> None:
        if self.heads % self.kv_heads:
            raise UserError(
                f"{self.heads} query heads cannot share {self.kv_heads} KV heads evenly; allowed: multiples"
            )


@dataclass(frozen=True)
class Labelled:
    """A method under the label that tables and charts know it by."""

    label: str
    method: PrefillMethod | DecodeMethod

    def params(self) -> str:
        """The method's parameters as JSON."""
        return json.dumps(asdict(self.method), sort_keys=True)  # type: ignore[call-overload]


Sweeps = Sequence[tuple[Labelled, Sequence[float]]]


def with_dense(methods: Sweeps, dense: PrefillMethod | DecodeMethod) -> Sweeps:
    """Dense first: it is always measured."""
    return [(Labelled(dense.name, dense), (0.0,)), *((entry, at) for entry, at in methods if entry.label != dense.name)]


@dataclass(frozen=True)
class Bench:
    """Where one layer's attention is measured."""

    device: torch.device
    dtype: torch.dtype
    ops: Ops
    ceilings: Ceilings
    shape: Shape

    def random(self, *size: int) -> Tensor:
        """Random normal numbers of the layer's dtype."""
        return torch.randn(*size, device=self.device).to(self.dtype)

    def row(
        self,
        entry: Labelled,
        length: int,
        sparsity: float,
        density: float,
        estimation_ms: float,
        attention: Timing,
        total: Timing,
        baseline: tuple[str, Timing],
        flops: float,
        moved: float,
    ) -> dict[str, Any]:
        """A row of :data:`sparsebench.tables.MEASUREMENTS`; ``flops`` and ``moved`` bytes are of one call."""
        shape, phase = self.shape, entry.method.phase
        by_flops, by_bytes = flops / self.ceilings.matmul_tflop_s / 1e9, moved / self.ceilings.copy_tb_s / 1e9
        return {
            "kind": "attention",
            "device": device_name(),
            "model": f"H{shape.heads} G{shape.kv_heads} D{shape.head_dim}",
            "phase": phase,
            "method": entry.label,
            "params": entry.params(),
            "length_tok": length,
            "sparsity": sparsity,
            "density": density,
            "rows": shape.batch,
            "cache": "shared",
            "heads": shape.heads,
            "kv_heads": shape.kv_heads,
            "head_dim": shape.head_dim,
            "dtype": str(self.dtype).removeprefix("torch."),
            "time_ms": total.median,
            "spread_ms": total.spread,
            "readings": len(total.readings),
            "estimation_ms": estimation_ms,
            "attention_ms": attention.median,
            "baseline": baseline[0],
            "baseline_ms": baseline[1].median,
            "speedup": baseline[1].median / total.median,
            "tflop_s": flops / attention.median / 1e9,
            "tb_s": moved / attention.median / 1e9,
            "floor_ms": by_flops if phase == "prefill" else by_bytes,
            "peak_mib": peak_mib(self.device),
        }
