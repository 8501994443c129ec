"""One decode step over selected prompt entries and each row's own suffix, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsebench.kernels.softcap import capped
from sparsebench.masks import bounded, members


def sparse_decode_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    span: Tensor,
    tokens: Tensor,
    count: Tensor,
    k_suffix: Tensor,
    v_suffix: Tensor,
    *,
    scale: float,
    softcap: float | None = None,
    suffix_len: Tensor | None = None,
) -> Tensor:
    """Attention of one query per row over its selected prompt entries and its whole suffix, in one softmax.

    Parameters
    ----------
    q
        [R, H, D].
    k, v
        [G, N, D]: the prompts' entries, several prompts laid end to end.
    span
        int32 [R, 2]: start and stop of the row's own prompt inside N.
    tokens
        int32 [R, G, n]: selected positions relative to the row's start, in any order.
    count
        int32 [R, G]: valid entries of ``tokens``; -1 selects the whole span.
    k_suffix, v_suffix
        [R, G, t, D]: what the row has generated so far.
    scale, softcap
        Factor on q . k, and cap of the scaled logits.
    suffix_len
        int32 [R]: valid entries of the suffix where it is a buffer of fixed size; all t when omitted.

    Returns
    -------
    [R, H, D] in the dtype of ``q``; sums in float32. Prompt values that no row of the KV head selects may be NaN.
    """
    (R, H, D), G = q.shape, k.shape[0]
    grouped = q.float().view(R, G, H // G, D)
    out = torch.empty(R, G, H // G, D, dtype=q.dtype, device=q.device)
    spans = span.tolist()
    whole = bool((count < 0).all())  # as where prefill alone is sparse
    empty = None
    if suffix_len is not None:
        empty = torch.arange(k_suffix.shape[2], device=q.device) >= suffix_len[:, None]
        v_suffix = v_suffix.masked_fill(empty[:, None, :, None], 0.0)
    # rows of one prompt share its keys: one matmul serves them all
    for start, stop in sorted({(a, b) for a, b in spans}):
        rows = [r for r, bounds in enumerate(spans) if bounds == [start, stop]]
        at = slice(None) if len(rows) == R else torch.tensor(rows, device=q.device)
        out[at] = _one_prompt(
            grouped[at],
            k[:, start:stop].float(),
            v[:, start:stop].float(),
            None if whole else members(tokens[at], count[at], stop - start) | (count[at] < 0)[..., None],
            k_suffix[at].float(),
            v_suffix[at].float(),
            None if empty is None else empty[at],
            scale,
            softcap,
        ).to(q.dtype)
    return out.view(R, H, D)


def _one_prompt(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    selected: Tensor | None,
    k_suffix: Tensor,
    v_suffix: Tensor,
    empty: Tensor | None,
    scale: float,
    softcap: float | None,
) -> Tensor:
    R, G, group, D = q.shape
    S = k.shape[1]
    by_head = q.transpose(0, 1).reshape(G, R * group, D)
    prompt = (by_head @ k.transpose(-1, -2)).view(G, R, group, S).transpose(0, 1)
    logits = capped(torch.cat((prompt, q @ k_suffix.transpose(-1, -2)), dim=-1) * scale, softcap)
    if selected is not None:
        bounded(logits[..., :S], torch.where(selected, torch.inf, -torch.inf)[:, :, None], out=logits[..., :S])
    if empty is not None:
        logits[..., S:].masked_fill_(empty[:, None, None], -torch.inf)
    weights = logits.softmax(-1)
    if selected is not None and not bool(v.sum().isfinite()):  # what no row selects must not leak, whatever it is
        v = v.masked_fill(~selected.any(0)[..., None], 0.0)
    from_prompt = weights[..., :S].transpose(0, 1).reshape(G, R * group, S) @ v
    return from_prompt.view(G, R, group, D).transpose(0, 1) + weights[..., S:] @ v_suffix
