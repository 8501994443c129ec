"""How long work takes: CUDA events on a GPU, the wall clock on a CPU; inputs rotated so that caches do not lie."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from sparsebench.tables.measurements import FEWEST_FOR_SPREAD


@dataclass(frozen=True)
class Timing:
    """Repeated readings of one piece of work, in milliseconds."""

    readings: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.readings)

    @property
    def spread(self) -> float | None:
        """Half the distance between the quartiles; None for fewer than 4 readings, which do not tell it."""
        if len(self.readings) < FEWEST_FOR_SPREAD:
            return None
        low, _, high = statistics.quantiles(self.readings, n=4)
        return (high - low) / 2


def time_work(work: Callable[[int], object], device: torch.device, repeats: int = 7, warmup: int = 3) -> Timing:
    """Time ``work(i)``; i counts the calls, so that the work can rotate its inputs."""
    for i in range(warmup):
        work(i)
    once = _by_events if device.type == "cuda" else _by_clock
    return Timing(tuple(once(work, i) for i in range(warmup, warmup + repeats)))


def _by_events(work: Callable[[int], object], i: int) -> float:
    began, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    began.record()
    work(i)
    ended.record()
    ended.synchronize()
    return began.elapsed_time(ended)


def _by_clock(work: Callable[[int], object], i: int) -> float:
    began = time.perf_counter()
    work(i)
    return 1e3 * (time.perf_counter() - began)


def time_calls(
    work: Callable[[int], object], calls: int, device: torch.device, repeats: int = 15, warmup: int = 3
) -> Timing:
    """Time ``work(0) .. work(calls - 1)`` in one go; readings are per call.

    On a GPU they are captured as one CUDA graph, so that the host's launches do not count.
    """

    def run(_: int) -> None:
        for i in range(calls):
            work(i)

    if device.type != "cuda":
        whole = time_work(run, device, min(repeats, 5), 1)
    else:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            run(0)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run(0)
        whole = time_work(lambda _: graph.replay(), device, repeats, warmup)
    return Timing(tuple(reading / calls for reading in whole.readings))


def time_now(device: torch.device) -> float:
    """Seconds on the wall clock once all work given to ``device`` is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
