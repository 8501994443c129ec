"""One decode step of the whole model: eager anywhere, a CUDA graph on a GPU.

Run eagerly, a step is bound by launches: tens of milliseconds whatever the model's size. Replayed as a
graph it takes what the kernels take.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from sparsebench.engine.compiled import compiled_layers
from sparsebench.engine.fanout import FanoutPass

log = logging.getLogger("sparsebench")


def can_capture(model: PreTrainedModel, max_steps: int) -> bool:
    """Whether decode steps of this model can be captured; says so where a GPU is there and they cannot."""
    if model.device.type != "cuda":
        return False
    if torch.distributed.is_initialized():
        log.info("decode steps run without a CUDA graph: the model is split over several GPUs")
        return False
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if window is not None and window < max_steps:
        log.info(
            "decode steps run without a CUDA graph: answers of %d tokens outgrow the window of %d", max_steps, window
        )
        return False
    return True


class Stepper:
    """Feeds each step's tokens to the next.

    Parameters
    ----------
    model, run
        The patched model, and the attention of its rows.
    graph
        Capture the step after the first one and replay it. ``run`` must have been made with ``fixed_size``.
    """

    def __init__(self, model: PreTrainedModel, run: FanoutPass, graph: bool) -> None:
        self._model, self.run, self._graph_wanted = model, run, graph
        self._graph: torch.cuda.CUDAGraph | None = None
        self._warm = False

    def start(self, tokens: Sequence[int], positions: Sequence[int]) -> None:
        """Set the first token and its position for each row."""
        device = self._model.device
        self._ids = torch.tensor(tokens, device=device)[:, None]
        self._positions = torch.tensor(positions, device=device)[:, None]

    def step(self) -> list[int]:
        """Run one step; returns the token that each row generated."""
        if not self._graph_wanted or not self._warm:
            # The first step of a batch compiles kernels and sizes the index lists, which a capture may not do.
            self._forward()
            self._warm = True
        else:
            if self._graph is None:
                self._graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(self._graph):
                    self._forward()
            self._graph.replay()
        self.run.step_done()
        tokens: list[int] = self._ids[:, 0].tolist()
        return tokens

    def _forward(self) -> None:
        with compiled_layers(self._model, self.run) as run:
            output = self._model(input_ids=self._ids, position_ids=self._positions, use_cache=False, sparse=run)
        self._ids.copy_(output.logits[:, -1].float().argmax(-1, keepdim=True))
        self._positions += 1
        self.run.advance()

    def worth_dropping(self, ended: int) -> bool:
        """Whether to drop ``ended`` rows now: always when eager; a graph is captured anew only to halve the batch."""
        return ended > 0 if not self._graph_wanted else 2 * ended >= len(self._ids)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with ``rows`` alone."""
        self.run.keep(rows)
        index = torch.tensor(list(rows), device=self._ids.device)
        self._ids, self._positions = self._ids[index], self._positions[index]
        self._graph, self._warm = None, False
