"""Saving and resuming: the whole state on one machine, or exported weights carried to another."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from sparsebench.errors import UserError
from sparsebench.train.ladder import Curriculum
from sparsebench.train.model import export

log = logging.getLogger("sparsebench")

_STATE = "state.pt"
_CURRICULUM = "curriculum.json"


def save(
    folder: Path,
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    optimizers: list[torch.optim.Optimizer],
    curriculum: Curriculum,
    done: dict[str, Any],
    whole: bool = True,
) -> None:
    """Write the exported model, the curriculum, and unless ``whole`` is False all that goes on bit by bit."""
    export(model, tokenizer, folder)
    text = json.dumps({"climbs": curriculum.state(), "done": done}, indent=2) + "\n"
    partial = folder / f"{_CURRICULUM}.partial"
    partial.write_text(text)
    partial.replace(folder / _CURRICULUM)
    if whole:
        state = {"model": model.state_dict(), "optimizers": [optimizer.state_dict() for optimizer in optimizers]}
        torch.save(state, folder / f"{_STATE}.partial")
        (folder / f"{_STATE}.partial").replace(folder / _STATE)
    else:
        (folder / _STATE).unlink(missing_ok=True)


def resume(
    folder: Path, model: LlamaForCausalLM, optimizers: list[torch.optim.Optimizer], curriculum: Curriculum
) -> dict[str, Any]:
    """Load what :func:`save` wrote; without the whole state, weights only: optimizers then start anew.

    Returns
    -------
    Totals so far: minutes, steps, tokens, the device of the last leg, and whether a final leg came to its end.
    """
    if not (folder / _CURRICULUM).is_file():
        raise UserError(f"{folder}: no {_CURRICULUM}, so nothing to resume; give a folder that `train` wrote")
    kept = json.loads((folder / _CURRICULUM).read_text())
    curriculum.restore(kept["climbs"])
    if (folder / _STATE).is_file():
        state = torch.load(folder / _STATE, map_location=next(model.parameters()).device, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, own in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(own)
        log.info("resumed %s with optimizer state", folder)
    else:
        old = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        model.load_state_dict(old.state_dict())
        log.info("resumed %s from exported weights; optimizers start anew", folder)
    done: dict[str, Any] = kept["done"]
    return done
