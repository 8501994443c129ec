"""A prefill method that stops where a fault shall strike; copied into the clone."""

import os
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from sparsebench.methods.block_sparse import BlockSparse

PROMPTS = count(1)
STOP = 3  # the prompt of each process that waits


@dataclass(frozen=True)
class Faulty(BlockSparse):
    """Waits at its third prompt until the file ``gates/GATE`` is there, with ``eat_mb`` of memory in its hands.

    ``gates/GATE.started`` gets a line for each prompt that is started: the number of the process.
    """

    name = "faulty"
    title = "Block-sparse with faults"
    source = "a test"
    block: int = 32
    gate: str = ""
    eat_mb: int = 0

    def select(self, q, k, budget, layer):
        if layer.index == 0:
            gate = Path("gates", self.gate)
            with gate.with_suffix(".started").open("a") as file:
                file.write(f"{os.getpid()}\n")
            if next(PROMPTS) == STOP:
                held = bytearray(b"x" * 2**20) * self.eat_mb
                time.sleep(4 if held else 0)  # SLURM looks at memory each second
                while not gate.exists():
                    time.sleep(0.05)
                del held
        return super().select(q, k, budget, layer)
