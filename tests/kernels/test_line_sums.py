from __future__ import annotations

import pytest
import torch

from sparsebench.kernels import line_sums_ref


@pytest.mark.parametrize("elements", [2**22, 600, 1])
@pytest.mark.parametrize(("L", "S"), [(1, 1), (5, 5), (7, 40), (40, 40)])
def test_reference_matches_a_loop(monkeypatch: pytest.MonkeyPatch, L: int, S: int, elements: int) -> None:
    monkeypatch.setattr(line_sums_ref, "CHUNK_ELEMENTS", elements)
    torch.manual_seed(S)
    q, k = torch.randn(1, 4, L, 8), torch.randn(1, 2, S, 8)
    column, diagonal = line_sums_ref.line_sums(q, k, scale=0.3, softcap=4.0)
    want_column, want_diagonal = torch.zeros(4, S), torch.zeros(4, S)
    for h in range(4):
        for r in range(L):
            t = S - L + r
            logits = 4.0 * torch.tanh(k[0, h // 2, : t + 1] @ q[0, h, r] * 0.3 / 4.0)
            for s, weight in enumerate(logits.softmax(0)):
                want_column[h, s] += weight
                want_diagonal[h, t - s] += weight
    torch.testing.assert_close(column[0], want_column, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(diagonal[0], want_diagonal, atol=1e-5, rtol=1e-5)


def check(B, G, ratio, D, L, S, softcap, dtype, device, tolerance) -> None:
    from sparsebench.kernels.line_sums import line_sums

    torch.manual_seed(S)
    q = torch.randn(B, L, G * ratio, D, device=device).to(dtype).transpose(1, 2)
    k = torch.randn(B, S, G, D, device=device).to(dtype).transpose(1, 2)
    settings = {"scale": D**-0.5, "softcap": softcap}
    for got, want in zip(line_sums(q, k, **settings), line_sums_ref.line_sums(q, k, **settings), strict=True):
        torch.testing.assert_close(got, want, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize(
    ("B", "G", "ratio", "D", "L", "S", "softcap"),
    [
        (1, 1, 1, 64, 1, 1, None),
        (2, 2, 3, 80, 7, 40, 3.0),
        (1, 1, 4, 64, 64, 333, None),
        (1, 1, 1, 32, 128, 2500, None),
        (1, 2, 1, 64, 130, 131, None),
    ],
)
def test_matches_reference(B, G, ratio, D, L, S, softcap, dtype, device, poison) -> None:
    check(B, G, ratio, D, L, S, softcap, dtype, device, 2e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("S", [130, 1000, 4097])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("D", [64, 80, 96, 128, 256])
def test_matches_reference_on_gpu(S, dtype, D, gpu, poison) -> None:
    for ratio, L, softcap in ((1, 64, None), (4, 128, 20.0), (7, 130, None), (2, 1, None)):
        check(2, 2, ratio, D, L, S, softcap, dtype, gpu, 1e-4)
