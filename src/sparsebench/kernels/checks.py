"""What a Triton kernel can take, checked before it is launched: what it cannot is refused with a reason.

What a model, a GPU, a config or a method may bring is a ``UserError``, which is a ``ValueError``; tensors that do not
fit together are a mistake of the caller, and a plain ``ValueError``.
"""

from __future__ import annotations

from functools import cache

import torch
import triton
from torch import Tensor

from sparsebench.errors import UserError

DTYPES = (torch.bfloat16, torch.float16, torch.float32)
MAX_HEAD_DIM = 256
LEAST_CAPABILITY = (8, 0)
INSTEAD = "engine.impl: reference"  # where any of this is allowed


def check_device(op: str, q: Tensor, *others: Tensor) -> None:
    """Raise ``ValueError`` unless ``op`` can run where ``q`` lies, in its dtype, with all tensors beside it."""
    if any(t.device != q.device for t in others):
        found = sorted({str(t.device) for t in (q, *others)})
        raise ValueError(f"{op}: tensors lie on several devices: {', '.join(found)}; all must be on one")
    if q.dtype not in DTYPES:
        raise ValueError(f"{op}: dtype {q.dtype} is not one of {', '.join(map(str, DTYPES))}")
    if q.device.type == "cuda":
        capability = _capability(q.device)
        if capability < LEAST_CAPABILITY:
            raise UserError(
                f"{op}: this GPU has compute capability {capability[0]}.{capability[1]}; allowed: 8.0 or more "
                f"(otherwise {INSTEAD})"
            )
    elif not triton.knobs.runtime.interpret:
        raise ValueError(f"{op}: the Triton kernel needs a CUDA device, got {q.device}")


def check_heads(op: str, q: Tensor, k: Tensor, v: Tensor, heads: int, groups: int) -> None:
    """Raise ``ValueError`` unless k and v are a pair that ``heads`` query heads can share."""
    if k.shape != v.shape or k.dtype != q.dtype or v.dtype != q.dtype:
        raise ValueError(
            f"{op}: k {tuple(k.shape)} {k.dtype} and v {tuple(v.shape)} {v.dtype} must have one shape and the dtype "
            f"of q, {q.dtype}"
        )
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(f"{op}: head dim {q.shape[-1]} of q and {k.shape[-1]} of k must be equal")
    if not 1 <= q.shape[-1] <= MAX_HEAD_DIM:
        raise UserError(f"{op}: head dim {q.shape[-1]}; allowed: 1 to {MAX_HEAD_DIM} (otherwise {INSTEAD})")
    if heads % groups:
        raise ValueError(f"{op}: {heads} query heads cannot share {groups} KV heads evenly")


def check_prefill(op: str, q: Tensor, k: Tensor, v: Tensor, *lists: Tensor) -> None:
    """Checks of the ops over q [B, H, T, D] and k, v [B, G, T, D]; ``lists`` are int32 index tensors."""
    check_device(op, q, k, v, *lists)
    if q.dim() != 4 or k.dim() != 4 or q.shape[0] != k.shape[0] or q.shape[2] != k.shape[2]:
        raise ValueError(f"{op}: q {tuple(q.shape)} and k {tuple(k.shape)} must be [B, H, T, D] and [B, G, T, D]")
    check_heads(op, q, k, v, q.shape[1], k.shape[1])
    check_lists(op, *lists)


def check_lists(op: str, *lists: Tensor) -> None:
    """Raise ``UserError`` unless every index tensor is int32: they come from methods."""
    wrong = [str(t.dtype) for t in lists if t.dtype != torch.int32]
    if wrong:
        raise UserError(f"{op}: index tensors of {', '.join(wrong)}; allowed: torch.int32, from the method's select")


def check_most(op: str, entries: int, most: int, instead: str) -> None:
    """Raise ``UserError`` for more entries in a row than a program holds; ``instead``: what makes them fewer."""
    if entries > most:
        raise UserError(f"{op}: {entries} entries to rank; allowed: up to {most} ({instead}, or {INSTEAD})")


def tile_pow2(size: int, least: int = 16) -> int:
    """Smallest power of two that holds ``size``; matrix units want at least 16."""
    return max(least, triton.next_power_of_2(size))


@cache
def shared_limit(device: torch.device) -> int:
    """Bytes of shared memory that one program may use on ``device``; asked once, for the question takes a while."""
    if device.type != "cuda":
        return 1 << 20
    return int(triton.runtime.driver.active.utils.get_device_properties(device.index or 0)["max_shared_mem"])


def fitting_stages(device: torch.device, fixed: int, per_stage: int, most: int) -> int:
    """Depth of the load pipeline, at most ``most``, whose buffers fit beside ``fixed`` bytes."""
    return max(1, min(most, (shared_limit(device) - fixed) // per_stage))


def overlaps(device: torch.device) -> bool:
    """Whether a kernel on ``device`` can start before the one it waits for has ended (dependent launch)."""
    return device.type == "cuda" and _capability(device) >= (9, 0)


@cache
def _capability(device: torch.device) -> tuple[int, int]:
    """Asked once: the question takes as long as a launch."""
    return torch.cuda.get_device_capability(device)
