"""What is handed to torch's fused attention; which of its backends then runs is up to the GPU."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sparsebench.kernels import dense, dense_ref

T = 70


@pytest.fixture
def given(monkeypatch) -> list[tuple[int, int, bool]]:
    """KV heads of k and v, and whether heads are shared, of each call."""
    calls = []
    real = F.scaled_dot_product_attention

    def recorded(q, k, v, **settings):
        calls.append((k.shape[1], v.shape[1], settings["enable_gqa"]))
        return real(q, k, v, **settings)

    monkeypatch.setattr(F, "scaled_dot_product_attention", recorded)
    return calls


def inputs(dtype: torch.dtype) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, heads, T, 16).to(dtype) for heads in (6, 2, 2)]


@pytest.mark.parametrize(
    ("dtype", "heads"), [(torch.float32, (6, 6, False)), (torch.bfloat16, (2, 2, True)), (torch.float16, (2, 2, True))]
)
@pytest.mark.parametrize("window", [None, T])
def test_in_float32_each_query_head_gets_its_own_keys(dtype, heads, window, given) -> None:
    q, k, v = inputs(dtype)
    got = dense.dense_attention(q, k, v, scale=0.25, window=window)
    assert given == [heads]
    torch.testing.assert_close(got, dense_ref.dense_attention(q, k, v, scale=0.25))


@pytest.mark.parametrize("setting", [{"window": 9}, {"softcap": 3.0}, {"window": 9, "softcap": 3.0}], ids=str)
def test_a_window_or_a_cap_goes_past_the_fused_backends(setting, given, monkeypatch) -> None:
    q, k, v = inputs(torch.float32)
    monkeypatch.setattr(dense, "own_heads", lambda *_: pytest.fail("copied for nothing"))
    got = dense.dense_attention(q, k, v, scale=0.25, **setting)
    assert given == []
    assert torch.equal(got, dense_ref.dense_attention(q, k, v, scale=0.25, **setting))


def test_heads_that_are_not_shared_are_not_copied() -> None:
    q, _, _ = inputs(torch.float32)
    assert dense.own_heads(q, q, q)[0] is q
