"""What users have without this project: transformers' own attention and loop, one configuration at a time."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import torch
from transformers.generation.streamers import BaseStreamer

from sparsebench.engine.attention import patch
from sparsebench.engine.norms import original_norms
from sparsebench.measure.subject import Subject, endless
from sparsebench.measure.timing import Timing, time_now


class _Clock(BaseStreamer):
    """Notes when each token reaches the host; the first call carries the prompt."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, value: Any) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        """Nothing is left to do."""


def transformers_loop(subject: Subject, length: int, new_tok: int) -> tuple[float, Timing]:
    """Milliseconds to the first token, and of each later one, of ``generate`` with torch's own attention.

    The model is left patched.
    """
    model = subject.model
    ids = torch.tensor([subject.question(length, new_tok).ids], device=subject.device)
    model.set_attn_implementation("sdpa")
    try:
        with endless(model), original_norms(model), torch.inference_mode():
            _generate(subject, ids[:, :64], 2)
            began = time_now(subject.device)
            clock = _generate(subject, ids, new_tok)
    finally:
        patch(model)
    marks = [began, *clock.times[1:]]
    steps = [1e3 * (b - a) for a, b in pairwise(marks)]
    return steps[0], Timing(tuple(steps[1:]))


def _generate(subject: Subject, ids: torch.Tensor, new_tok: int) -> _Clock:
    clock = _Clock()
    subject.model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=new_tok,
        do_sample=False,
        streamer=clock,
        pad_token_id=0,
    )
    return clock
