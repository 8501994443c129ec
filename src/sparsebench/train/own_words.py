"""Answers in any order, as the model itself would begin to say them.

Whoever learns with right answers before each, in random order, never meets what comes of its own order: the clear
answers go first, the unclear ones stand together at the end, and a wrong one among the first leads to others. So the
model is asked for its ranking after the prompt, the list is put into that order, its mistakes included, and what is
learnt at each place is any right answer that was not said before it (Ross et al. 2011, arXiv:1011.0686: learning where
one's own policy leads; here from one ranking rather than from a decoded answer).
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import LlamaForCausalLM


def say_in_own_order(
    model: LlamaForCausalLM, ids: Tensor, where: Tensor, allowed: Tensor, lists: Tensor
) -> tuple[Tensor, Tensor]:
    """Put every list of answers into the model's own order.

    Parameters
    ----------
    ids, where, allowed
        As in :class:`sparsebench.train.batches.Batch`: tokens [B, T], flat places [N], right tokens [N, A].
    lists
        [R, K] of places in ``where``: the K answers of a list, each of one token, in the order of the text.

    Returns
    -------
    ids, allowed
        Copies: at each place of a list stands the model's choice of that rank after the prompt, and right is what the
        list holds and what was not said before.
    """
    rows, count = lists.shape
    places = where[lists]
    # not under no_grad, for which the layers would be compiled once more
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state.detach()
    logits = model.lm_head(hidden.flatten(0, 1)[places[:, 0]]).detach().float()
    said = logits.topk(count, dim=-1).indices
    gold = ids.flatten()[places + 1]
    new_ids = ids.flatten().clone()
    new_ids[places + 1] = said
    # before[r, j, i]: gold i of list r was said before place j
    before = (said[:, :, None] == gold[:, None, :]).cumsum(1).roll(1, 1)
    before[:, 0] = 0
    right = torch.where(before > 0, -1, gold[:, None, :].expand(rows, count, count))
    right = right.sort(dim=-1, descending=True).values
    new_allowed = allowed.clone()
    new_allowed[lists.flatten()] = -1
    new_allowed[lists.flatten(), :count] = right.flatten(0, 1)
    return new_ids.view_as(ids), new_allowed
