"""Several processes that train one model together, each on micro-batches of its own (data parallel).

``torchrun`` starts them and tells each its place in the environment; without it there is one. Parameters start alike
and every step adds the same mean gradient to all, so nothing but gradients and results is exchanged.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")


class Replicas:
    """This process and those that train one model together with it.

    Attributes
    ----------
    rank, count
        Its number, from 0, and how many there are.
    device
        What it computes on: with several ranks on GPUs, the one of its number.
    """

    def __init__(self, device: str) -> None:
        self.count, self.rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
        several = self.count > 1 and device == "cuda"
        self.device = torch.device(f"cuda:{os.environ['LOCAL_RANK']}" if several else device)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device if several else 0)
        if self.count > 1:
            dist.init_process_group("cpu:gloo,cuda:nccl" if self.device.type == "cuda" else "gloo")

    def agree(self, value: float) -> float:
        """The first rank's ``value``, for all."""
        if self.count == 1:
            return value
        said = torch.tensor(value, dtype=torch.float64)
        dist.broadcast(said, 0)
        return float(said)

    def average(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Put the mean over ranks in the place of each gradient; a parameter without one counts as zeros."""
        if self.count == 1:
            return
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([grad.flatten() for grad in grads])
        dist.all_reduce(flat)
        flat /= self.count
        for parameter, mean in zip(parameters, flat.split([grad.numel() for grad in grads]), strict=True):
            parameter.grad = mean.view_as(parameter)

    def gather(self, own: list[T]) -> list[T]:
        """The lists of all ranks, one after the other."""
        if self.count == 1:
            return own
        lists: list[list[T]] = [[] for _ in range(self.count)]
        dist.all_gather_object(lists, own)
        return [item for part in lists for item in part]

    def close(self) -> None:
        """Leave the group."""
        if self.count > 1:
            dist.destroy_process_group()
