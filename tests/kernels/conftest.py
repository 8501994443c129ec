"""Triton kernels run on a GPU where there is one, elsewhere in the interpreter (set in ``tests/conftest.py``)."""

from __future__ import annotations

import pytest
import torch

# relative error (Frobenius norm) against the float32 reference on the same inputs
TOLERANCE = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}


@pytest.fixture
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def gpu() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return torch.device("cuda")


@pytest.fixture
def assert_near():
    def near(got: torch.Tensor, want: torch.Tensor) -> None:
        assert got.shape == want.shape
        assert bool(got.isfinite().all())
        error = float((got.float() - want.float()).norm() / want.float().norm())
        assert error < TOLERANCE[got.dtype], f"relative error {error:.2e} in {got.dtype}"

    return near


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs and scratch start as NaN (or a negative index), so that an element nobody writes shows."""

    def poisoned(make):
        def made(*args, **kwargs):
            fresh = make(*args, **kwargs)
            return fresh.fill_(float("nan") if fresh.is_floating_point() else -(2**30))

        return made

    for name in ("empty", "empty_like"):
        monkeypatch.setattr(torch, name, poisoned(getattr(torch, name)))
