"""A model of any architecture with random weights: fast to make, and as fast to run as the real one."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from sparsebench.engine.attention import patch
from sparsebench.engine.load import check_interface, pick_dtype
from sparsebench.engine.norms import fuse_norms
from sparsebench.errors import UserError
from sparsebench.spec import DType

log = logging.getLogger("sparsebench")


def load_random(config_file: Path, dtype: DType, device: torch.device) -> PreTrainedModel:
    """Make the model that a transformers ``config.json`` describes, patched and in evaluation mode, on ``device``.

    Raises ``UserError`` for a file that describes no decoder-only model that transformers knows.
    """
    number = pick_dtype(dtype, device)
    try:
        given = json.loads(config_file.read_text())
        config = AutoConfig.for_model(**given)
        torch.manual_seed(0)
        with torch.device(device):
            model = AutoModelForCausalLM.from_config(config, dtype=number)
    except torch.OutOfMemoryError:
        raise UserError(
            f"{config_file}: weights of this size do not fit the memory that is free on {device}; allowed: a smaller "
            "architecture, or a device with more"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{config_file}: transformers cannot build a causal language model from it ({error}); allowed: the "
            "config.json of a decoder-only model"
        ) from error
    check_interface(model, config_file)
    patch(model)
    model.eval()
    if device.type == "cuda":
        fuse_norms(model)
    log.info("made %s with random weights: %.1f M parameters, %s on %s", type(model).__name__,
             model.num_parameters() / 1e6, model.dtype, device)  # fmt: skip
    return model
