"""Tensor descriptors: how a kernel reads whole tiles, through the copy engine where the GPU has one."""

from __future__ import annotations

from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from sparsebench.errors import UserError
from sparsebench.kernels.checks import INSTEAD

ALIGNMENT_BYTES = 16


def unit_stride(x: Tensor) -> Tensor:
    """``x``, copied only if its last axis is not contiguous or its rows do not start at multiples of 16 bytes."""
    size = x.element_size()
    strides = [s for s, n in zip(x.stride()[:-1], x.shape[:-1], strict=True) if n > 1]
    aligned = x.data_ptr() % ALIGNMENT_BYTES == 0 and all(s * size % ALIGNMENT_BYTES == 0 for s in strides)
    return x if x.stride(-1) == 1 and aligned else x.contiguous()


def descriptor(op: str, x: Tensor, rows: int, width: int) -> TensorDescriptor:
    """Descriptor of tiles [1, 1, rows, width] of x [B, G, T, D]; what lies outside x reads as 0.

    Raises
    ------
    UserError
        If a row of ``x`` is not a multiple of 16 bytes long.
    """
    size, D = x.element_size(), x.shape[-1]
    if D * size % ALIGNMENT_BYTES:
        raise UserError(
            f"{op}: head dim {D} of {x.dtype} is {D * size} bytes a row; allowed: a multiple of 16 bytes "
            f"(otherwise another engine.dtype, or {INSTEAD})"
        )
    # the stride of an axis of one entry means nothing, but a descriptor wants it aligned all the same
    strides = [s if n > 1 else D for s, n in zip(x.stride()[:-1], x.shape[:-1], strict=True)]
    return TensorDescriptor(x, list(x.shape), [*strides, 1], [1, 1, rows, width])
