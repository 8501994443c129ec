"""A prefill method with faults of its own at longer prompts; copied into the clone."""

import time
from dataclasses import dataclass
from itertools import count

from sparsebench.methods.block_sparse import BlockSparse

SAMPLES = count()


@dataclass(frozen=True)
class Faulty(BlockSparse):
    """Takes ``pause`` seconds a prompt, and holds ``eat_mb`` of memory for a while from the third prompt on."""

    name = "faulty"
    title = "Block-sparse with faults"
    source = "a test"
    block: int = 32
    pause: float = 0.0
    eat_mb: int = 0

    def select(self, q, k, budget, layer):
        if q.shape[2] > 450 and layer.index == 0:
            time.sleep(self.pause)
            if self.eat_mb and next(SAMPLES) == 2:
                held = bytearray(b"x" * 2**20) * self.eat_mb
                time.sleep(6)
                del held
        return super().select(q, k, budget, layer)
