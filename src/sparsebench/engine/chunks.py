"""A long prompt through the model in chunks of tokens, with attention over the whole prompt.

Outside attention a decoder treats every token by itself, so that chunks need not be together there, and what a layer
holds in between (in its MLP several times the hidden state) is held for one chunk at a time. Each chunk runs the
model's own forward pass in a thread of its own; at every attention layer it waits for the others. One thread runs at
any time, in an order that is always the same.
"""

from __future__ import annotations

import threading

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sparsebench.engine.attention import AttentionPass, Call

CHUNK_TOK = 16384


class _Stopped(Exception):
    """Another chunk has failed."""


class _Round:
    """Passes the turn from chunk to chunk, and joins their attention calls."""

    def __init__(self, run: AttentionPass, count: int) -> None:
        self._run = run
        self._turns = [threading.Semaphore(0) for _ in range(count)]
        self._calls: list[Call | None] = [None] * count
        self._outs: list[Tensor | None] = [None] * count
        self.failure: BaseException | None = None

    def wait(self, chunk: int) -> None:
        self._turns[chunk].acquire()
        if self.failure is not None:
            raise _Stopped

    def pass_on(self, chunk: int) -> None:
        """Give the turn to the next chunk, after the last one to the first."""
        self._turns[(chunk + 1) % len(self._turns)].release()

    def fail(self, error: BaseException) -> None:
        if self.failure is None:
            self.failure = error
        for turn in self._turns:
            turn.release()

    def attend(self, chunk: int, call: Call) -> Tensor:
        self._calls[chunk] = call
        if chunk == len(self._calls) - 1:
            self._attend_whole()
        self.pass_on(chunk)
        self.wait(chunk)
        out = self._outs[chunk]
        self._outs[chunk] = None
        assert out is not None
        return out

    def _attend_whole(self) -> None:
        calls = [call for call in self._calls if call is not None]
        self._calls = [None] * len(calls)
        last = calls[-1]
        sizes = [call.q.shape[2] for call in calls]
        q, k, v = (torch.cat([getattr(call, name) for call in calls], 2) for name in ("q", "k", "v"))
        whole = Call(last.layer, q, k, v, last.scale, last.window, last.softcap)
        self._outs = list(self._run.attend(whole).split(sizes, 2))


class _Member:
    """What one chunk's forward pass sees as its attention."""

    def __init__(self, turn: _Round, chunk: int) -> None:
        self._round, self._chunk = turn, chunk

    def attend(self, call: Call) -> Tensor:
        return self._round.attend(self._chunk, call)


def can_chunk(model: PreTrainedModel) -> bool:
    """Whether chunks see the positions that the whole prompt would.

    Not where they depend on the greatest position of a forward pass: rotary embeddings of the type ``dynamic``, and
    LongRoPE's before :func:`sparsebench.models.rope.settle`.
    """
    rope = getattr(model.config.get_text_config(), "rope_parameters", None) or {}
    parts = [
        rope,
        *(part for part in rope.values() if isinstance(part, dict)),
    ]  # some families have one a kind of layer
    return all(
        part.get("rope_type") != "dynamic" and part.get("short_factor") == part.get("long_factor") for part in parts
    )


def run_prompt(model: PreTrainedModel, ids: Tensor, run: AttentionPass, chunk_tok: int = CHUNK_TOK) -> None:
    """Run the prompt ``ids`` [1, S] through the model's decoder; ``run`` attends to the whole of it, layer by layer."""
    starts = range(0, ids.shape[1], chunk_tok) if can_chunk(model) else range(1)
    if len(starts) == 1:
        positions = torch.arange(ids.shape[1], device=ids.device)[None]
        model.get_decoder()(input_ids=ids, position_ids=positions, use_cache=False, sparse=run)
        return
    turn = _Round(run, len(starts))

    def work(chunk: int, start: int) -> None:
        try:
            turn.wait(chunk)
            if ids.device.type == "cuda":
                torch.cuda.set_device(ids.device)
            part = ids[:, start : start + chunk_tok]
            positions = torch.arange(start, start + part.shape[1], device=ids.device)[None]
            with torch.inference_mode():
                model.get_decoder()(
                    input_ids=part, position_ids=positions, use_cache=False, sparse=_Member(turn, chunk)
                )
            turn.pass_on(chunk)
        except _Stopped:
            pass
        except BaseException as error:
            turn.fail(error)

    threads = [threading.Thread(target=work, args=item, daemon=True) for item in enumerate(starts)]
    for thread in threads:
        thread.start()
    turn.pass_on(len(starts) - 1)
    for thread in threads:
        thread.join()
    if turn.failure is not None:
        raise turn.failure
