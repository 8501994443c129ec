"""Which kernel attends to which kind of selection; knows selections, no methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sparsebench.engine.attention import Call
from sparsebench.errors import UserError
from sparsebench.selection import BlockSelection, Everything, LineSelection, PrefillSelection

Impl = Literal["triton", "reference"]


@dataclass(frozen=True)
class Ops:
    """The ops of one implementation; each has the signature of its torch reference in ``sparsebench.kernels``."""

    impl: Impl
    dense: Callable[..., Tensor]
    block_sparse: Callable[..., Tensor]
    vertical_slash: Callable[..., Tensor]
    sparse_decode: Callable[..., Tensor]

    def prefill(self, selection: PrefillSelection, call: Call) -> Tensor:
        """Causal attention of a whole prompt over ``selection``; returns [B, H, T, D]."""
        q, k, v, scale, softcap = call.q, call.k, call.v, call.scale, call.softcap
        match selection:
            case Everything():
                return self.dense(q, k, v, scale=scale, softcap=softcap)
            case BlockSelection(blocks, count, block):
                return self.block_sparse(q, k, v, blocks, count, block=block, scale=scale, softcap=softcap)
            case LineSelection(columns, column_count, diagonals, diagonal_count):
                return self.vertical_slash(
                    q, k, v, columns, column_count, diagonals, diagonal_count, scale=scale, softcap=softcap
                )
        raise TypeError(f"no op for a selection of type {type(selection).__name__}")


def load_ops(impl: Literal["auto", "triton", "reference"], device: torch.device) -> Ops:
    """``auto``: Triton on CUDA, reference elsewhere. An explicit choice that cannot run is an error, never replaced."""
    if impl == "auto":
        impl = "triton" if device.type == "cuda" else "reference"
    if impl == "reference":
        from sparsebench.kernels.block_sparse_ref import block_sparse_attention
        from sparsebench.kernels.dense_ref import dense_attention
        from sparsebench.kernels.sparse_decode_ref import sparse_decode_attention
        from sparsebench.kernels.vertical_slash_ref import vertical_slash_attention
    else:
        if device.type != "cuda":
            raise UserError(
                f"engine.impl: 'triton' needs a CUDA device, this is {device.type!r} (allowed here: reference)"
            )
        from sparsebench.kernels.block_sparse import block_sparse_attention
        from sparsebench.kernels.dense import dense_attention
        from sparsebench.kernels.sparse_decode import sparse_decode_attention
        from sparsebench.kernels.vertical_slash import vertical_slash_attention
    return Ops(impl, dense_attention, block_sparse_attention, vertical_slash_attention, sparse_decode_attention)
