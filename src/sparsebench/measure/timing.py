"""How long work on a GPU takes: CUDA events around it, inputs rotated so that caches do not lie."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Timing:
    """Repeated readings of one piece of work, in milliseconds."""

    readings: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.readings)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles; 0 for fewer than 4 readings."""
        if len(self.readings) < 4:
            return 0.0
        low, _, high = statistics.quantiles(self.readings, n=4)
        return (high - low) / 2


def time_work(work: Callable[[int], object], repeats: int = 7, warmup: int = 3) -> Timing:
    """Time ``work(i)``; i counts the calls, so that the work can rotate its inputs."""
    for i in range(warmup):
        work(i)
    readings = []
    for i in range(warmup, warmup + repeats):
        began, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        began.record()
        work(i)
        ended.record()
        ended.synchronize()
        readings.append(began.elapsed_time(ended))
    return Timing(tuple(readings))


def time_graph(work: Callable[[int], object], calls: int, repeats: int = 15, warmup: int = 3) -> Timing:
    """Time ``work(0) .. work(calls - 1)`` captured as one CUDA graph; readings are per call, without launch gaps."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for i in range(calls):
            work(i)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(calls):
            work(i)
    whole = time_work(lambda _: graph.replay(), repeats, warmup)
    return Timing(tuple(reading / calls for reading in whole.readings))
