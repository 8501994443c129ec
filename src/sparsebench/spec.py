"""What one job is told to do: plain data that travels as JSON from the grid to the command line."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

DType = Literal["auto", "float32", "bfloat16", "float16"]
Impl = Literal["auto", "triton", "reference"]
Cache = Literal["shared", "compacted"]
Phase = Literal["prefill", "decode"]


class Spec(BaseModel):
    """Immutable, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MethodSpec(Spec):
    """A method as configured: ``label`` names it in paths, columns and charts.

    ``method`` is a registered name or ``path/to/file.py:Class``; ``digest`` covers the source it runs.
    """

    label: str
    method: str
    params: dict[str, Any] = {}
    digest: str = ""


class MethodSpecs(Spec):
    """The methods of a config, by phase; ``dense`` needs no entry."""

    prefill: tuple[MethodSpec, ...] = ()
    decode: tuple[MethodSpec, ...] = ()


class Sweep(Spec):
    """One method at several sparsities (``dense``: the single sparsity 0)."""

    spec: MethodSpec
    sparsities: tuple[float, ...]


class PhasedSweep(Sweep):
    """A sweep that says which phase it is of."""

    phase: Phase


class TaskSpec(Spec):
    """A task as configured: ``label`` names it everywhere, ``task`` is the registered generator."""

    label: str
    task: str
    params: dict[str, Any] = {}
    samples: int
    seed: int


class Room(Spec):
    """Where rows run, which says nothing of what they are: changing it recomputes none.

    At most ``batch_rows`` of them decode together in at most ``memory_mib`` MiB beside the weights (None: what the
    device has free); one prompt and its rows always run. ``ranks`` processes hold the model, one per GPU.
    """

    batch_rows: int = 32
    memory_mib: int | None = None
    ranks: int = 1


class CellSpec(Room):
    """One (model, prefill method, task, length): one job, one model load.

    Its rows are the product of samples, ``prefill.sparsities`` and all (decode method, sparsity) pairs of ``decode``.
    """

    model: str
    prefill: Sweep
    decode: tuple[Sweep, ...]
    task: str
    length_tok: int
    samples: int
    dtype: DType = "auto"
    impl: Impl = "auto"
    cache: Cache = "shared"
