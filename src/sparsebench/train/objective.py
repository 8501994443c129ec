"""Loss and accuracy at the positions that are learnt."""

from __future__ import annotations

import torch
from transformers import LlamaForCausalLM

from sparsebench.train.batches import Batch
from sparsebench.train.own_words import say_in_own_order


def loss_and_right(model: LlamaForCausalLM, batch: Batch, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted mean cross-entropy, and the share of answers whose every token is right.

    Where several continuations are right (answers in any order), the target is uniform over them, and any of them
    counts as right. Half of the batches with answers in any order are put into the model's own order
    (:mod:`sparsebench.train.own_words`). Logits are computed at the learnt positions only.

    Returns
    -------
    loss, right
        Scalars; ``right`` carries no gradient.
    """
    ids = torch.from_numpy(batch.ids).to(device, non_blocking=True).long()
    where = torch.from_numpy(batch.where).to(device, non_blocking=True)
    allowed = torch.from_numpy(batch.allowed).to(device, non_blocking=True).long()
    weights = torch.from_numpy(batch.weights).to(device, non_blocking=True)
    answer = torch.from_numpy(batch.answer).to(device, non_blocking=True)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        if len(batch.lists) and torch.rand(()) < 0.5:
            lists = torch.from_numpy(batch.lists).to(device, non_blocking=True)
            ids, allowed = say_in_own_order(model, ids, where, allowed, lists)
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        logits = model.lm_head(hidden.flatten(0, 1)[where])
    logp = torch.log_softmax(logits.float(), dim=-1)
    valid = allowed >= 0
    picked = logp.gather(1, allowed.clamp(min=0)) * valid
    losses = -picked.sum(1) / valid.sum(1)
    loss = (losses * weights).sum() / weights.sum()
    hit = (logp.detach().argmax(-1, keepdim=True) == allowed).any(1)
    n = int(batch.answer.max()) + 1
    # Separators fall into one more place that is not looked at.
    all_right = torch.ones(n + 1, device=device).scatter_reduce(
        0, torch.where(answer < 0, n, answer), hit.float(), reduce="amin"
    )
    return loss, all_right[:n].mean()
