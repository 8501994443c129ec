"""The decode reference op against plain float64 attention, row by row."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sparsebench.kernels.sparse_decode_ref import sparse_decode_attention

from .oracle import naive

PROMPTS = [(0, 63), (63, 64), (64, 321)]


def case(R: int, H: int, G: int, D: int, suffix: int, seed: int = 0) -> dict[str, Tensor]:
    """Rows over three prompts laid end to end, ragged lists with rubbish past the count, some whole spans."""
    draw = torch.Generator().manual_seed(seed)
    N = PROMPTS[-1][1]
    span = torch.tensor([PROMPTS[r % 3] for r in range(R)], dtype=torch.int32)
    tokens = torch.randint(-(2**30), 2**30, (R, G, 300), generator=draw, dtype=torch.int32)
    count = torch.full((R, G), -1, dtype=torch.int32)
    for r in range(R):
        length = int(span[r, 1] - span[r, 0])
        for g in range(G):
            if r % 4 != 3:
                n = int(torch.randint(1, length + 1, (1,), generator=draw))
                tokens[r, g, :n] = torch.randperm(length, generator=draw)[:n].int()
                count[r, g] = n
    return {
        "q": torch.randn(R, H, D, generator=draw),
        "k": torch.randn(G, N, D, generator=draw),
        "v": torch.randn(G, N, D, generator=draw),
        "span": span,
        "tokens": tokens,
        "count": count,
        "k_suffix": torch.randn(R, G, suffix, D, generator=draw),
        "v_suffix": torch.randn(R, G, suffix, D, generator=draw),
    }


def row_by_row(x: dict[str, Tensor], scale: float, softcap: float | None) -> Tensor:
    rows = []
    for r in range(x["q"].shape[0]):
        start, stop = x["span"][r].tolist()
        G, suffix = x["k"].shape[0], x["k_suffix"].shape[2]
        group = x["q"].shape[1] // G
        mask = torch.zeros(1, x["q"].shape[1], 1, stop - start + suffix, dtype=torch.bool)
        mask[..., stop - start :] = True
        for g in range(G):
            n = int(x["count"][r, g])
            picked = slice(None, stop - start) if n < 0 else x["tokens"][r, g, :n].long()
            mask[0, g * group : (g + 1) * group, 0, picked] = True
        k = torch.cat((x["k"][:, start:stop], x["k_suffix"][r]), 1)[None]
        v = torch.cat((x["v"][:, start:stop], x["v_suffix"][r]), 1)[None]
        rows.append(naive(x["q"][r][None, :, None], k, v, mask, scale, softcap)[0, :, 0])
    return torch.stack(rows)


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize(
    ("R", "H", "G", "D", "suffix"), [(1, 1, 1, 8, 1), (7, 9, 3, 16, 5), (9, 8, 1, 8, 2), (4, 3, 3, 24, 1)]
)
def test_equals_float64(R: int, H: int, G: int, D: int, suffix: int, softcap: float | None) -> None:
    x = case(R, H, G, D, suffix)
    got = sparse_decode_attention(**x, scale=0.3, softcap=softcap)
    torch.testing.assert_close(got.double(), row_by_row(x, 0.3, softcap), atol=2e-6, rtol=2e-5)


def test_rows_do_not_depend_on_their_batch() -> None:
    x = case(12, 6, 2, 16, 4)
    together = sparse_decode_attention(**x, scale=0.3)
    for r in range(12):
        alone = {name: value if name in "kv" else value[r : r + 1] for name, value in x.items()}
        torch.testing.assert_close(sparse_decode_attention(**alone, scale=0.3)[0], together[r], atol=1e-6, rtol=1e-5)


def test_does_not_read_what_no_row_selects() -> None:
    x = case(2, 4, 2, 8, 3)
    x["tokens"] = torch.tensor([5, 9, 60], dtype=torch.int32).expand(2, 2, 3)
    x["count"] = torch.tensor([[3, 2], [1, 2]], dtype=torch.int32)
    x["span"] = torch.tensor([[0, 63], [0, 63]], dtype=torch.int32)
    clean = sparse_decode_attention(**x, scale=0.3)
    unread = torch.ones(321, dtype=torch.bool)
    unread[[5, 9, 60]] = False
    x["k"][:, unread], x["v"][:, unread] = torch.nan, torch.nan
    assert torch.equal(clean, sparse_decode_attention(**x, scale=0.3))


def test_bfloat16_sums_in_float32() -> None:
    x = {name: value.bfloat16() if value.is_floating_point() else value for name, value in case(6, 4, 2, 16, 3).items()}
    got = sparse_decode_attention(**x, scale=0.3)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.double(), row_by_row(x, 0.3, None), atol=1e-2, rtol=1e-2)
