"""Per layer: which prompt KV entries each row of a fan-out reads."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsebench.selection import DecodeSelection, Everything, TokenSelection

ALL = -1  # count that stands for the whole span


class Lists:
    """Index lists of R rows and G KV heads, as the decode op takes them.

    Attributes
    ----------
    span
        int32 [R, 2]: where each row's own prompt lies in the layer's keys.
    tokens
        int32 [R, G, n]: positions relative to the span's start.
    count
        int32 [R, G]: valid entries, or ``ALL``.
    """

    def __init__(self, span: Tensor, heads: int) -> None:
        rows = span.shape[0]
        self.span = span
        self.tokens = span.new_zeros((rows, heads, 1))
        self.count = span.new_full((rows, heads), ALL)

    def put(self, rows: slice, selection: DecodeSelection) -> None:
        """Set the lists of consecutive ``rows``."""
        match selection:
            case Everything():
                self.count[rows] = ALL
            case TokenSelection(tokens, count):
                width = tokens.shape[-1]
                if width > self.tokens.shape[-1]:
                    grow = width - self.tokens.shape[-1]
                    self.tokens = torch.nn.functional.pad(self.tokens, (0, grow))
                self.tokens[rows, :, :width] = tokens.to(self.tokens.dtype)
                self.count[rows] = count.to(self.count.dtype)

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but ``rows``, which are renumbered in the order given."""
        self.span, self.tokens, self.count = self.span[rows], self.tokens[rows], self.count[rows]

    def shares(self, lengths: Tensor) -> Tensor:
        """Share of its prompt's entries that each row reads, mean over KV heads; ``lengths`` float [R]."""
        read = torch.where(self.count == ALL, lengths[:, None], self.count.to(lengths.dtype))
        return read.mean(1) / lengths
