from __future__ import annotations

import pytest
import torch

from sparsebench.errors import UserError
from sparsebench.kernels import block_sparse_ref, dense_ref

LENGTHS = (1, 63, 111, 1000, 4097)


def random_lists(B: int, H: int, T: int, block: int, keep: int, device: torch.device):
    """Ascending lists of at most ``keep`` random blocks, the diagonal among them; junk past the count."""
    N = -(-T // block)
    key = torch.arange(N, device=device)
    scores = (
        torch.rand(B, H, N, N, device=device).masked_fill(key > key[:, None], -1).masked_fill(key == key[:, None], 2)
    )
    count = torch.minimum(key + 1, torch.tensor(keep, device=device)).int().expand(B, H, N)
    best = scores.topk(min(keep, N), -1).indices
    past = torch.arange(best.shape[-1], device=device) >= count[..., None]
    return best.masked_fill(past, 10**6).sort(-1).values.int(), count


def inputs(B, H, G, T, D, dtype, device):
    # heads last but one in memory, as a model's layers give them
    return [torch.randn(B, T, n, D, device=device).to(dtype).transpose(1, 2) for n in (H, G, G)]


def check(B, H, G, T, D, block, keep, softcap, dtype, device, assert_near) -> None:
    from sparsebench.kernels.block_sparse import block_sparse_attention

    torch.manual_seed(T + D)
    q, k, v = inputs(B, H, G, T, D, dtype, device)
    blocks, count = random_lists(B, H, T, block, keep, device)
    settings = {"block": block, "scale": D**-0.5, "softcap": softcap}
    got = block_sparse_attention(q, k, v, blocks, count, **settings)
    want = block_sparse_ref.block_sparse_attention(q.float(), k.float(), v.float(), blocks, count, **settings)
    assert_near(got, want)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize(
    ("B", "H", "G", "T", "D", "block", "keep", "softcap"),
    [
        (1, 1, 1, 1, 64, 16, 1, None),
        (2, 4, 1, 63, 80, 16, 3, None),
        (1, 2, 2, 111, 128, 32, 2, 20.0),
        (2, 2, 1, 200, 96, 64, 2, None),
        (1, 2, 1, 300, 64, 128, 2, None),
        (1, 1, 1, 65, 256, 64, 2, None),
    ],
)
def test_matches_reference(B, H, G, T, D, block, keep, softcap, dtype, device, poison, assert_near) -> None:
    check(B, H, G, T, D, block, keep, softcap, dtype, device, assert_near)


@pytest.mark.gpu
@pytest.mark.parametrize("T", LENGTHS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("D", [64, 80, 96, 128, 256])
@pytest.mark.parametrize("block", [16, 32, 64, 128])
def test_matches_reference_on_gpu(T, dtype, D, block, gpu, poison, assert_near) -> None:
    ratio = (1, 2, 4, 7, 16)[(D + block) // 16 % 5]
    check(2, 2 * ratio, 2, T, D, block, 5, None if ratio != 4 else 30.0, dtype, gpu, assert_near)


def test_all_blocks_are_dense_attention(device, assert_near) -> None:
    from sparsebench.kernels.block_sparse import block_sparse_attention

    torch.manual_seed(0)
    q, k, v = inputs(1, 2, 1, 150, 64, torch.float32, device)
    N = 3
    blocks = torch.arange(N, dtype=torch.int32, device=device).expand(1, 2, N, N)
    count = torch.arange(1, N + 1, dtype=torch.int32, device=device).expand(1, 2, N)
    got = block_sparse_attention(q, k, v, blocks, count, block=64, scale=0.1)
    assert_near(got, dense_ref.dense_attention(q, k, v, scale=0.1))


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"block": 48}, UserError, "block 48; allowed: 16, 32, 64, 128"),
        ({"dtype": torch.float64}, ValueError, "float64"),
        ({"D": 320}, UserError, r"head dim 320; allowed: 1 to 256 \(otherwise engine.impl: reference\)"),
        ({"D": 37}, UserError, r"74 bytes a row; allowed: a multiple of 16 bytes \(otherwise another engine.dtype"),
        ({"G": 3}, ValueError, "4 query heads cannot share 3"),
        ({"N": 9}, ValueError, r"expected \[1, 4, 2, n\]"),
    ],
)
def test_what_it_cannot_do_is_said(change, error, said, device) -> None:
    from sparsebench.kernels.block_sparse import block_sparse_attention

    case = {"block": 64, "dtype": torch.float16, "D": 64, "G": 2, "N": 2} | change
    q, k, v = inputs(1, 4, case["G"], 100, case["D"], case["dtype"], device)
    blocks = torch.zeros(1, 4, case["N"], 1, dtype=torch.int32, device=device)
    count = torch.ones(1, 4, case["N"], dtype=torch.int32, device=device)
    with pytest.raises(error, match=said):
        block_sparse_attention(q, k, v, blocks, count, block=case["block"], scale=1.0)
