from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from sparsebench.errors import UserError
from sparsebench.kernels import block_means_ref, page_tokens_ref, top_entries_ref


def test_top_entries_worked_by_hand(device) -> None:
    from sparsebench.kernels.top_entries import top_entries

    scores = torch.tensor([[5.0, 1.0, 5.0, -1.0, 5.0], [0.0, -torch.inf, -0.0, torch.inf, 2.0]], device=device)
    count = torch.tensor([2, 3], dtype=torch.int32, device=device)
    # of three equal fives the first two; minus zero equals zero
    assert top_entries(scores, count, 4).tolist() == [[0, 2, 0, 0], [0, 3, 4, 0]]
    # row 0 ends at entry 1, row 1 at entry 2; entry 0 goes before a better one
    assert top_entries(scores, count, 4, diagonal=1).tolist() == [[0, 1, 0, 0], [0, 1, 2, 0]]
    count.fill_(2)
    assert top_entries(scores, count, 2, diagonal=3).tolist() == [[0, 3], [3, 4]]
    assert top_entries(scores, count, 2, diagonal=3, sink=True).tolist() == [[0, 3], [0, 4]]


def check_top(n: int, device: torch.device) -> None:
    from sparsebench.kernels.top_entries import top_entries

    torch.manual_seed(n)
    scores = torch.randn(4, 3, n, device=device)
    scores[:, 0] = scores[:, 0].round()  # many ties
    scores[2, 1], scores[2, 1, 0] = -torch.inf, torch.inf
    scores[1, 1] = torch.where(scores[1, 1] > 0, 0.0, -0.0)  # one and the same
    width = max(1, n // 3)
    count = torch.randint(1, width + 1, (3,), dtype=torch.int32, device=device)
    settings = [{}, {"sink": True}] + [{"diagonal": n - 3, "sink": sink} for sink in (False, True) if n > 5]
    for setting in settings:
        want = top_entries_ref.top_entries(scores, count, width, **setting)
        assert torch.equal(top_entries(scores, count, width, **setting), want)


@pytest.mark.parametrize("n", [1, 2, 63, 1000])
def test_top_entries_match_a_stable_sort(n, device, poison) -> None:
    check_top(n, device)


@pytest.mark.gpu
@pytest.mark.parametrize("n", [111, 4097, 32768])
def test_top_entries_match_a_stable_sort_on_gpu(n, gpu, poison) -> None:
    check_top(n, gpu)


def check_pages(R, G, ratio, D, S, page, softcap, dtype, device, share=0.5) -> None:
    from sparsebench.kernels.page_tokens import page_tokens

    torch.manual_seed(S)
    P = -(-S // page)
    lowest = torch.randn(G, P, D, device=device).to(dtype)
    highest = (lowest.float() + torch.rand(G, P, D, device=device)).to(dtype)
    q = torch.randn(R, G * ratio, D, device=device).to(dtype)
    width = int((P - 1) * share)
    pages = torch.randint(0, width + 1, (R,), dtype=torch.int32, device=device)
    settings = {"page": page, "length": S, "scale": 0.05, "softcap": softcap}
    got = page_tokens(q, lowest, highest, pages, width, **settings)
    scores = page_tokens_ref.page_bounds(q, lowest, highest, 0.05, softcap).softmax(-1).sum(2)
    last = S - (P - 1) * page
    for r in range(R):
        for g in range(G):
            tokens = got[r, g, : last + int(pages[r]) * page].tolist()
            assert tokens[:last] == list(range((P - 1) * page, S))
            firsts = tokens[last::page]
            assert tokens[last:] == [t + i for t in firsts for i in range(page)]
            chosen = {t // page for t in firsts}
            assert len(chosen) == int(pages[r])
            # sums in another order may swap pages whose scores are all but equal
            rest = [float(scores[r, g, p]) for p in range(P - 1) if p not in chosen]
            if chosen and rest:
                assert min(float(scores[r, g, p]) for p in chosen) >= max(rest) * (1 - 1e-5)


@pytest.mark.parametrize(
    ("R", "G", "ratio", "D", "S", "page", "softcap"),
    [
        (1, 1, 1, 64, 16, 16, None),
        (3, 2, 4, 80, 333, 16, None),
        (2, 2, 3, 128, 700, 16, 10.0),
        (2, 1, 16, 64, 129, 32, None),
    ],
)
def test_page_tokens_are_those_of_the_best_pages(R, G, ratio, D, S, page, softcap, device, poison) -> None:
    check_pages(R, G, ratio, D, S, page, softcap, torch.float32, device)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.25])
def test_page_tokens_by_a_coarse_ranking_first(share, device, poison) -> None:
    check_pages(6, 2, 2, 64, 3333, 16, None, torch.float32, device, share)


@pytest.mark.gpu
@pytest.mark.parametrize("S", [63, 1000, 4097, 40000])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_page_tokens_on_gpu(S, dtype, gpu, poison) -> None:
    for share in (0.05, 0.1, 0.5):
        check_pages(3, 2, 4, 128, S, 16, None, dtype, gpu, share)


def check_means(T: int, D: int, block: int, dtype: torch.dtype, device: torch.device) -> None:
    from sparsebench.kernels.block_means import block_means

    torch.manual_seed(block)
    q, k = (torch.randn(2, T, heads, D, device=device).to(dtype).transpose(1, 2) for heads in (4, 2))
    for got, want in zip(
        block_means(q, k, block), block_means_ref.block_means(q.double(), k.double(), block), strict=True
    ):
        torch.testing.assert_close(got, want.float(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("block", [16, 64])
@pytest.mark.parametrize("T", [1, 63, 130])
def test_block_means(T, block, device, poison) -> None:
    check_means(T, 80, block, torch.float16, device)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("T", [1, 111, 4097])
def test_block_means_on_gpu(T, dtype, gpu, poison) -> None:
    for D in (64, 96, 128, 256):
        check_means(T, D, 128, dtype, gpu)


def test_more_entries_than_a_program_holds_are_refused_with_what_to_do(device) -> None:
    from sparsebench.kernels.least_blocks import least_blocks
    from sparsebench.kernels.page_tokens import page_tokens
    from sparsebench.kernels.top_entries import MOST, top_entries

    n = MOST + 1
    one = torch.ones(1, dtype=torch.int32, device=device)
    with pytest.raises(UserError, match=r"32769 entries to rank; allowed: up to 32768 \(.*params: \{block: 128\}, or"):
        top_entries(torch.zeros(1, n, device=device), one, 4)
    bounds = torch.zeros(1, n, 16, device=device)
    with pytest.raises(UserError, match=r"larger pages: params: \{page: 32\}, or engine.impl: reference"):
        page_tokens(bounds[:, :1], bounds, bounds, one, 4, page=16, length=16 * n, scale=1.0)
    order = torch.zeros((1, 1, 1, 1), device=device).expand(1, 1, 3 * MOST, 3 * MOST)
    with pytest.raises(UserError, match=r"params: \{block: 64\}"):
        least_blocks(order, 16 * 3 * MOST, 16, 1)


def test_a_gpu_that_is_too_old_is_named_with_what_to_do(monkeypatch) -> None:
    from sparsebench.kernels import checks

    monkeypatch.setattr(checks, "_capability", lambda device: (7, 5))
    old = SimpleNamespace(device=torch.device("cuda"), dtype=torch.float16)
    with pytest.raises(UserError, match=r"compute capability 7.5; allowed: 8.0 or more .*engine.impl: reference"):
        checks.check_device("op", old)


def test_index_lists_of_another_dtype_are_refused() -> None:
    from sparsebench.kernels.checks import check_lists

    with pytest.raises(UserError, match=r"torch.int64; allowed: torch.int32, from the method's select"):
        check_lists("op", torch.zeros(3, dtype=torch.int64))
