"""What a method returns: which blocks, lines or tokens to attend to.

A method selects, a kernel attends, the engine counts. Kernels and engine know these types and no method.
Shapes: B batch, H query heads, G KV heads, R rows, N blocks (DESIGN words); indices are int32 on the device of q.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Everything:
    """Attend to all that causality allows."""


@dataclass(frozen=True)
class BlockSelection:
    """Key blocks per query block (prefill).

    Parameters
    ----------
    blocks
        int32 [B, H, N, n]: ascending key-block indices of each query block, N = ceil(T / block).
    count
        int32 [B, H, N]: how many entries of the last axis of ``blocks`` are valid (1 <= count <= n). Each list holds
        distinct indices <= its own query block; what lies past ``count`` is ignored.
    block
        Tokens per block, for queries and keys alike. The diagonal block is causal inside.
    """

    blocks: Tensor
    count: Tensor
    block: int


@dataclass(frozen=True)
class LineSelection:
    """Columns and diagonals per head (prefill): query t attends to key s <= t if s is a column or t - s a diagonal.

    Parameters
    ----------
    columns
        int32 [B, H, c]: distinct key positions, ascending within the first ``column_count``.
    column_count
        int32 [B, H].
    diagonals
        int32 [B, H, d]: distinct offsets t - s >= 0, ascending within the first ``diagonal_count``; 0 is always among
        them, so that no query is left without a key.
    diagonal_count
        int32 [B, H].
    """

    columns: Tensor
    column_count: Tensor
    diagonals: Tensor
    diagonal_count: Tensor


@dataclass(frozen=True)
class TokenSelection:
    """Prompt KV entries per row and KV head (decode).

    Parameters
    ----------
    tokens
        int32 [R, G, n]: distinct positions within the row's own prompt, in any order; past ``count`` ignored.
    count
        int32 [R, G]: valid entries, at least 1.
    """

    tokens: Tensor
    count: Tensor


PrefillSelection = Everything | BlockSelection | LineSelection
DecodeSelection = Everything | TokenSelection
