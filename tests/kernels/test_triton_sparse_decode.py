from __future__ import annotations

import pytest
import torch

from sparsebench.kernels import sparse_decode_ref


def case(R, G, ratio, D, lengths, suffix, dtype, device):
    """Rows over random prompts, random lists of random counts, every third row the whole prompt."""
    ends = torch.tensor(lengths).cumsum(0)
    prompt = torch.randint(len(lengths), (R,))
    span = torch.stack([ends[prompt] - torch.tensor(lengths)[prompt], ends[prompt]], 1).int()
    tokens = torch.full((R, G, max(lengths)), -7, dtype=torch.int32)
    count = torch.full((R, G), -1, dtype=torch.int32)
    for r in range(R):
        if r % 3 == 1:
            continue
        length = lengths[int(prompt[r])]
        for g in range(G):
            count[r, g] = int(torch.randint(1, length + 1, (1,)))
            tokens[r, g, : int(count[r, g])] = torch.randperm(length)[: int(count[r, g])].int()
    sizes = [(R, G * ratio, D), (G, sum(lengths), D), (G, sum(lengths), D), (R, G, suffix, D), (R, G, suffix, D)]
    q, k, v, ks, vs = (torch.randn(size, device=device).to(dtype) for size in sizes)
    return q, k, v, span.to(device), tokens.to(device), count.to(device), ks, vs


def check(R, G, ratio, D, lengths, suffix, softcap, dtype, device, assert_near) -> None:
    from sparsebench.kernels.sparse_decode import sparse_decode_attention

    torch.manual_seed(sum(lengths) + D)
    inputs = case(R, G, ratio, D, lengths, suffix, dtype, device)
    settings = {"scale": D**-0.5, "softcap": softcap}
    got = sparse_decode_attention(*inputs, **settings)
    wide = (x.float() if x.is_floating_point() else x for x in inputs)
    assert_near(got, sparse_decode_ref.sparse_decode_attention(*wide, **settings))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize(
    ("R", "G", "ratio", "D", "lengths", "suffix", "softcap"),
    [
        (1, 1, 1, 64, (1,), 0, None),
        (1, 1, 1, 64, (63,), 1, None),
        (3, 2, 4, 80, (111, 300), 5, 20.0),
        (2, 2, 16, 128, (400,), 0, None),
        (5, 3, 2, 96, (1, 130, 77), 70, None),
    ],
)
def test_matches_reference(R, G, ratio, D, lengths, suffix, softcap, dtype, device, poison, assert_near) -> None:
    check(R, G, ratio, D, lengths, suffix, softcap, dtype, device, assert_near)


@pytest.mark.gpu
@pytest.mark.parametrize("lengths", [(1,), (63, 111), (1000, 1, 4097)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("D", [64, 80, 96, 128, 256])
@pytest.mark.parametrize("ratio", [1, 2, 4, 7, 16])
def test_matches_reference_on_gpu(lengths, dtype, D, ratio, gpu, poison, assert_near) -> None:
    for rows, suffix in ((1, 1), (26, 33)):
        check(rows, 2, ratio, D, lengths, suffix, None if ratio != 7 else 30.0, dtype, gpu, assert_near)


def test_a_suffix_in_a_buffer_of_fixed_size(device, assert_near) -> None:
    from sparsebench.kernels.sparse_decode import sparse_decode_attention

    torch.manual_seed(1)
    q, k, v, span, tokens, count, ks, vs = case(3, 2, 2, 64, (50, 20), 9, torch.float32, device)
    # what lies past the valid entries is never read
    ks[:, :, 4:], vs[:, :, 4:] = float("nan"), float("nan")
    lens = torch.full((3,), 4, dtype=torch.int32, device=device)
    got = sparse_decode_attention(q, k, v, span, tokens, count, ks, vs, scale=0.1, suffix_len=lens)
    want = sparse_decode_ref.sparse_decode_attention(
        q, k, v, span, tokens, count, ks[:, :, :4], vs[:, :, :4], scale=0.1
    )
    assert_near(got, want)
    reference = sparse_decode_ref.sparse_decode_attention(
        q, k, v, span, tokens, count, ks, vs, scale=0.1, suffix_len=lens
    )
    assert_near(reference, want)


@pytest.mark.gpu
def test_a_captured_graph_follows_new_counts(gpu, assert_near) -> None:
    from sparsebench.kernels.sparse_decode import sparse_decode_attention

    torch.manual_seed(2)
    inputs = case(4, 2, 4, 128, (3000,), 8, torch.bfloat16, gpu)
    sparse_decode_attention(*inputs, scale=0.1)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = sparse_decode_attention(*inputs, scale=0.1)
    inputs[5].copy_(torch.tensor([[-1, 7], [900, 1], [1, 1], [3, 2999]], dtype=torch.int32, device=gpu))
    inputs[4].copy_(torch.arange(3000, dtype=torch.int32, device=gpu).flip(0).expand(4, 2, -1))
    graph.replay()
    wide = (x.float() if x.is_floating_point() else x for x in inputs)
    assert_near(out, sparse_decode_ref.sparse_decode_attention(*wide, scale=0.1))
