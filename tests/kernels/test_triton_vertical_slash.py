from __future__ import annotations

import pytest
import torch

from sparsebench.kernels import vertical_slash_ref


def random_lines(B: int, H: int, T: int, most: int, with_zero: bool, device: torch.device):
    """Ascending distinct lines, a different number per head; junk past the count."""
    lines = torch.full((B, H, most + 2), 10**8, dtype=torch.int32)
    count = torch.randint(1, min(most, T) + 1, (B, H), dtype=torch.int32)
    for b in range(B):
        for h in range(H):
            drawn = torch.randperm(T)[: int(count[b, h])]
            if with_zero and 0 not in drawn:
                drawn[0] = 0
            lines[b, h, : len(drawn)] = drawn.sort().values.int()
    return lines.to(device), count.to(device)


def check(B, H, G, T, D, columns, diagonals, softcap, dtype, device, assert_near) -> None:
    from sparsebench.kernels.vertical_slash import vertical_slash_attention

    torch.manual_seed(T + D)
    q, k, v = (torch.randn(B, T, n, D, device=device).to(dtype).transpose(1, 2) for n in (H, G, G))
    lists = (*random_lines(B, H, T, columns, False, device), *random_lines(B, H, T, diagonals, True, device))
    settings = {"scale": D**-0.5, "softcap": softcap}
    got = vertical_slash_attention(q, k, v, *lists, **settings)
    want = vertical_slash_ref.vertical_slash_attention(q.float(), k.float(), v.float(), *lists, **settings)
    assert_near(got, want)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize(
    ("B", "H", "G", "T", "D", "columns", "diagonals", "softcap"),
    [
        (1, 1, 1, 1, 64, 1, 1, None),
        (2, 4, 2, 63, 80, 5, 9, None),
        (1, 2, 1, 111, 128, 40, 3, 20.0),
        (1, 2, 1, 333, 64, 100, 20, None),  # many columns
        (1, 2, 1, 333, 64, 3, 250, None),  # diagonals that overlap in most tiles
        (1, 1, 1, 111, 64, 111, 111, None),  # every pair is on both: no key counts twice
    ],
)
def test_matches_reference(B, H, G, T, D, columns, diagonals, softcap, dtype, device, poison, assert_near) -> None:
    check(B, H, G, T, D, columns, diagonals, softcap, dtype, device, assert_near)


@pytest.mark.gpu
@pytest.mark.parametrize("T", [1, 63, 111, 1000, 4097])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("D", [64, 80, 96, 128, 256])
def test_matches_reference_on_gpu(T, dtype, D, gpu, poison, assert_near) -> None:
    ratio = {64: 1, 80: 4, 96: 16, 128: 4, 256: 2}[D]
    check(2, 2 * ratio, 2, T, D, 60, 90, None if D != 80 else 30.0, dtype, gpu, assert_near)


def test_int32_lists_only(device) -> None:
    from sparsebench.kernels.vertical_slash import vertical_slash_attention

    q = torch.randn(1, 1, 8, 64, device=device)
    line, one = torch.zeros(1, 1, 1, device=device), torch.ones(1, 1, device=device)
    with pytest.raises(ValueError, match="int32"):
        vertical_slash_attention(q, q, q, line.long(), one.int(), line.int(), one.int(), scale=1.0)
