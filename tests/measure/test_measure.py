from __future__ import annotations

import pytest
import torch

from sparsebench.errors import UserError
from sparsebench.measure.attention import Shape, measure_attention
from sparsebench.measure.dense import fastest_dense
from sparsebench.measure.schema import ATTENTION
from sparsebench.measure.timing import Timing
from sparsebench.methods.block_sparse import BlockSparse
from sparsebench.methods.quest import Quest
from sparsebench.methods.snapkv import SnapKV


def test_median_and_half_interquartile_range() -> None:
    # quartiles of 1..7 by the exclusive method are 2 and 6
    assert Timing((7.0, 1.0, 3.0, 2.0, 5.0, 4.0, 6.0)).median == 4.0
    assert Timing((7.0, 1.0, 3.0, 2.0, 5.0, 4.0, 6.0)).spread == 2.0
    assert Timing((1.0, 9.0)).spread == 0.0


def test_the_baseline_is_the_fastest_backend_that_runs() -> None:
    def run(name: str) -> Timing:
        if name == "cudnn":
            raise RuntimeError("no kernel for these shapes")
        return Timing(({"flash": 2.0, "efficient": 3.0}[name],))

    assert fastest_dense(run) == ("flash", Timing((2.0,)))


def test_out_of_memory_is_not_taken_for_a_refusal() -> None:
    def run(name: str) -> Timing:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        fastest_dense(run)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_no_gpu_is_said_plainly() -> None:
    with pytest.raises(UserError, match="needs a CUDA device"):
        measure_attention([BlockSparse()], [1024], [0.5])


@pytest.mark.gpu
def test_figures_fit_together() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    table = measure_attention([BlockSparse(), Quest(), SnapKV()], [4096], [0.75], Shape())
    assert table.schema.names == ATTENTION.names
    assert float(table.schema.metadata[b"copy_tb_s"]) > 0.1
    for row in table.to_pylist():
        assert row["density"] == pytest.approx(0.25, rel=0.1)
        assert row["speedup"] == pytest.approx(row["dense_ms"] / row["total_ms"])
        assert 0 < row["ceiling_share"] < 1
