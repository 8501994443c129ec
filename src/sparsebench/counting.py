"""What a selection really costs, counted from the selection itself and never reported by the method."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsebench.masks import members
from sparsebench.selection import BlockSelection, DecodeSelection, Everything, LineSelection, PrefillSelection

RUN = 4096  # entries of a scan that one processor takes


def causal_pairs(length: int) -> int:
    """Query-key pairs of causal attention over ``length`` tokens."""
    return length * (length + 1) // 2


def prefill_pairs(selection: PrefillSelection, length: int, device: torch.device | None = None) -> Tensor:
    """Causal query-key pairs that a prefill selection keeps, exactly.

    Returns
    -------
    int64 [B, H]; [1, 1] on ``device`` for :class:`Everything`, which knows neither batch nor device.
    """
    if isinstance(selection, Everything):
        return torch.full((1, 1), causal_pairs(length), device=device)
    if isinstance(selection, BlockSelection):
        return _block_pairs(selection, length)
    return _line_pairs(selection, length)


def decode_entries(selection: DecodeSelection, length: int | Tensor) -> Tensor:
    """Prompt KV entries that each row reads per step and KV head.

    Parameters
    ----------
    length
        Tokens of the prompt, or int [R] if rows belong to prompts of different lengths.

    Returns
    -------
    int64 [R, G]; for :class:`Everything`, which knows no rows, [1, 1] or [R, 1]. A count of -1 is a whole prompt.
    """
    whole = torch.as_tensor(length, dtype=torch.int64).reshape(-1, 1)
    if isinstance(selection, Everything):
        return whole
    count = selection.count.long()
    return torch.where(count < 0, whole.to(count.device), count)


def block_rows(length: int, block: int, device: torch.device | None = None) -> Tensor:
    """Queries in each query block, int64 [N]: ``block``, and what is left for the last one."""
    starts = torch.arange(0, length, block, device=device)
    return (length - starts).clamp(max=block)


def _block_pairs(selection: BlockSelection, length: int) -> Tensor:
    blocks, count, block = selection.blocks, selection.count, selection.block
    rows = block_rows(length, block, blocks.device)
    valid = torch.arange(blocks.shape[-1], device=blocks.device) < count[..., None]
    diagonal = torch.arange(len(rows), device=blocks.device)[:, None]
    on_diagonal = (valid & (blocks == diagonal)).sum(-1)
    below = (valid & (blocks < diagonal)).sum(-1)
    return (on_diagonal * rows * (rows + 1) // 2 + below * rows * block).sum(-1)


def _line_pairs(selection: LineSelection, length: int) -> Tensor:
    columns = members(selection.columns, selection.column_count, length)
    diagonals = members(selection.diagonals, selection.diagonal_count, length)
    return union_pairs(columns, diagonals)


def union_pairs(columns: Tensor, diagonals: Tensor) -> Tensor:
    """Causal pairs on any of the marked columns or diagonals.

    Parameters
    ----------
    columns, diagonals
        Boolean [..., T]: which key positions are columns, which offsets t - s are diagonals.

    Returns
    -------
    int64 [...]. Column c and diagonal o hold T - c and T - o pairs and meet once, at query c + o, if that is below T;
    so the overlap of column c is the number of diagonals below T - c.
    """
    T = columns.shape[-1]
    size = torch.arange(T, 0, -1, device=columns.device)
    met = running_sums(diagonals.int()).flip(-1)
    return ((size - met) * columns).sum(-1) + (size * diagonals).sum(-1)


def running_sums(x: Tensor) -> Tensor:
    """Inclusive sums along the last axis, run by run: one long scan per row would leave a GPU idle."""
    n = x.shape[-1]
    if n <= RUN:
        return x.cumsum(-1, dtype=x.dtype)
    runs = F.pad(x, (0, -n % RUN)).unflatten(-1, (-1, RUN)).cumsum(-1, dtype=x.dtype)
    ends = runs[..., -1].cumsum(-1, dtype=x.dtype)
    runs[..., 1:, :] += ends[..., :-1, None]
    return runs.flatten(-2)[..., :n]
