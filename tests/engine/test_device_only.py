"""Without a GPU: tensors of a device that holds no data show where a method or the engine goes back to the host.

Kernels are not run here, only what is around them. Reading a value fails, and so do tensors of two devices in one
operation. That takes no memory either, so prompts are as long as they like.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend
from transformers import PreTrainedModel
from triton.runtime import interpreter

from sparsebench.engine import chunks
from sparsebench.engine.attention import patch
from sparsebench.engine.fanout import FanoutPass, FanoutRow
from sparsebench.engine.ops import Ops
from sparsebench.engine.prefill import PrefillPass, prefill
from sparsebench.engine.rows import DecodeSetting, PrefillSetting, Question
from sparsebench.engine.step import Stepper
from sparsebench.engine.store import PromptStore
from sparsebench.kernels.block_sparse import block_sparse_attention
from sparsebench.kernels.dense import dense_attention
from sparsebench.kernels.sparse_decode import sparse_decode_attention
from sparsebench.kernels.vertical_slash import vertical_slash_attention
from sparsebench.methods.base import DecodeMethod, Layer, PrefillMethod
from sparsebench.methods.block_sparse import BlockSparse
from sparsebench.selection import Everything, PrefillSelection

from ..methods.attend import DECODE, PREFILL, decode_method, prefill_method
from .families import make_model

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="needs Triton's interpreter, which GPUs go without")
DEVICE = "dataless"
OPS = Ops("triton", dense_attention, block_sparse_attention, vertical_slash_attention, sparse_decode_attention)
MODE = FakeTensorMode()  # one for all tests: methods keep small tensors over calls
LENGTHS = (281, 33_001)  # fewer and more entries than a kernel ranks in one program
STEPS = 6


class NoHost(TorchDispatchMode):
    """Refuses copies to the host; where ``strict`` anything on the host, which a captured step must be free of."""

    strict = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = [t.device.type for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor) and t.dim()]
        made = [t.device.type for t in tree_leaves(out) if isinstance(t, Tensor)]
        assert not (DEVICE in given and "cpu" in made), f"{func} copies to the host"
        assert not (self.strict and "cpu" in given + made), f"{func} on the host"
        return out


@pytest.fixture(scope="module", autouse=True)
def device() -> None:
    """Once a process, where it stays."""
    if torch._C._get_privateuse1_backend_name() != DEVICE:
        module = _DummyBackendModule()
        module.is_available = lambda: False  # type: ignore[method-assign]  # nothing can be computed on it
        _setup_privateuseone_for_python_backend(DEVICE, module)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[NoHost]:
    monkeypatch.setattr(interpreter.GridExecutor, "__call__", lambda *_, **__: None)
    monkeypatch.setattr(chunks, "can_chunk", lambda model: False)  # they run in threads, which see no modes
    monkeypatch.setattr(FakeTensor, "data_ptr", lambda self: 256)  # aligned, as what torch allocates is
    with torch.no_grad(), MODE, NoHost() as mode:
        yield mode


@dataclass(frozen=True)
class DenseAtFirst(BlockSparse):
    """A user's method that spares the first layer."""

    def select(self, q: Tensor, k: Tensor, budget: float, layer: Layer) -> PrefillSelection:
        return Everything() if layer.index == 0 else super().select(q, k, budget, layer)


def _model(family: str, dtype: torch.dtype) -> PreTrainedModel:
    with torch.device(DEVICE):
        model = make_model(family, dtype)
    patch(model)
    return model


def _prefilled(
    model: PreTrainedModel, store: PromptStore, prompt: int, method: PrefillMethod, decode: list[DecodeMethod]
) -> PrefillPass:
    run = PrefillPass(OPS, store, prompt, PrefillSetting(method, 0.3), decode, seed=1)
    ids = tuple(3 + i % 90 for i in range(store.lengths[prompt] + 1))
    prefill(model, Question(ids, STEPS, seed=1), run)
    return run


FORMS = pytest.mark.parametrize(("family", "dtype"), [("llama", torch.bfloat16), ("gemma-2", torch.float32)])


@FORMS
@pytest.mark.parametrize("name", [*PREFILL, "dense at first"])
def test_prefill_stays_on_the_device(host: NoHost, name: str, family: str, dtype: torch.dtype) -> None:
    method = DenseAtFirst() if name == "dense at first" else prefill_method(name)
    run = _prefilled(_model(family, dtype), PromptStore([2001]), 0, method, [])
    assert {share.device.type for share in run._shares} == {DEVICE}  # numbers of the host pass unseen among others
    with pytest.raises(DataDependentOutputException):  # the one value that is read: once a prompt, at its end
        _ = run.density


@FORMS
@pytest.mark.parametrize("name", [*DECODE, "all"])
def test_a_step_to_capture_stays_on_the_device(host: NoHost, name: str, family: str, dtype: torch.dtype) -> None:
    others = [each for each in DECODE if each != "dense"] if name == "all" else [name]
    methods = [decode_method(each) for each in ("dense", *others)]
    model, store = _model(family, dtype), PromptStore(LENGTHS)
    rows: list[FanoutRow] = []
    for prompt in range(len(LENGTHS)):
        states = _prefilled(model, store, prompt, prefill_method("dense"), methods).states
        for place, method in enumerate(methods):
            state = {layer: made[place] for layer, made in states.items()}
            budgets = (0.5, 0.02) if place else (1.0,)
            rows += [FanoutRow(prompt, DecodeSetting(method, budget), state) for budget in budgets]
    stepper = Stepper(model, FanoutPass(OPS, store, rows, STEPS, fixed_size=True), graph=False)
    stepper.start([3] * len(rows), [store.lengths[row.prompt] for row in rows])
    for kept in (None, range(1, len(rows), 2)):
        if kept is not None:
            stepper.keep(kept)
        for host.strict in (False, True, True):  # the first step sizes lists and is not captured
            stepper._forward()
            stepper.run.step_done()
        host.strict = False
    with pytest.raises(DataDependentOutputException):  # read once a row, at its end
        stepper.run.densities()
