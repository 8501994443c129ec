"""Processes that hold a model together: each a share of the heads of every layer, all the same hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """This process's place among ``size`` processes. Calls are collective: all ranks make the same ones, in order."""

    rank: int = 0
    size: int = 1

    def gathered(self, x: Tensor, dim: int) -> Tensor:
        """The parts of all ranks, joined along ``dim`` (heads: rank 0 holds the first ones)."""
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(self.size)]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts, dim)

    def own(self, x: Tensor, dim: int) -> Tensor:
        """This rank's part of ``x`` along ``dim``."""
        return x.chunk(self.size, dim)[self.rank].contiguous()

    def mean(self, values: Sequence[float], device: torch.device) -> list[float]:
        """Means over ranks, number by number. Ranks hold equally many heads: means of heads over ranks are of all."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(total)
        means: list[float] = (total / self.size).tolist()
        return means

    def told(self, what: Any = None) -> Any:
        """What rank 0 passes; the others pass nothing and wait for it."""
        box = [what]
        dist.broadcast_object_list(box, src=0)
        return box[0]


ALONE = Ranks()
