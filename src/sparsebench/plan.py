"""What a study will take, told before it runs: rows, tokens, GPU-hours, memory, and the cells that do not fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

import yaml

from sparsebench.cost.model import decode_cost, prefill_cost
from sparsebench.cost.shape import ITEMSIZE, ModelShape
from sparsebench.errors import unknown
from sparsebench.grid import Grid, Key
from sparsebench.methods import load_method
from sparsebench.methods.base import DecodeMethod, PrefillMethod
from sparsebench.models.presets import presets
from sparsebench.spec import Sweep

ANSWER_TOK = 100  # the answers of most tasks are shorter
MEMORY_SHARE = 0.9  # of a GPU: the rest is CUDA's own and fragments
CHUNK_TOK = 4096
STEP_S = 0.03  # a decode step of a split model, whose launches are not captured
SHAPES = Path(__file__).parent / "models/shapes.yaml"
LOGGED = re.compile(r"(\d+) prefills in ([\d.]+) s, (\d+) decode steps in ([\d.]+) s")


@dataclass(frozen=True)
class Gpu:
    """A GPU by its data sheet: dense bfloat16 FLOP/s, bytes/s, GB."""

    flops: float
    bandwidth: float
    gb: float


GPUS = {
    "h200": Gpu(989e12, 4.8e12, 141),
    "h100": Gpu(989e12, 3.35e12, 80),
    "a100-80gb": Gpu(312e12, 2.04e12, 80),
    "a100-40gb": Gpu(312e12, 1.56e12, 40),
    "l40s": Gpu(362e12, 0.86e12, 48),
    "rtx-4090": Gpu(165e12, 1.01e12, 24),
}
FLOPS_SHARE, BANDWIDTH_SHARE = 0.4, 0.5  # of the data sheet that whole models reach; see docs/performance.md


@dataclass
class ModelPlan:
    """Sums over the cells of one model."""

    model: str
    gpus: int
    cells: int = 0
    rows: int = 0
    prefill_tok: int = 0
    decode_tok: int = 0
    seconds: float = 0.0
    peak_gb: float = 0.0
    measured: bool = False
    too_big: list[Key] = field(default_factory=list)

    @property
    def gpu_hours(self) -> float:
        return self.seconds * self.gpus / 3600


class Planner:
    """Plans a grid for one kind of GPU; ``results`` may hold logs of earlier cells, whose speed counts."""

    def __init__(self, grid: Grid, gpu: str, results: Path = Path("results")) -> None:
        if gpu not in GPUS:
            raise unknown("GPU", gpu, GPUS, "--gpu")
        self.grid, self.gpu, self.results = grid, GPUS[gpu], results

    def shape(self, model: str) -> ModelShape | None:
        """Size of a model: as fetched, from its local folder, or what is published of its preset; None: unknown."""
        from sparsebench.models.info import read_info

        fetched = self.results / "models" / model
        entry = self.grid.config.models[model]
        if (fetched / "model.json").exists():
            info = read_info(fetched)
            return ModelShape.from_folder(Path(info.folder), model, info.rope)
        if entry.path is not None:
            return ModelShape.from_folder(Path(entry.path).expanduser(), model, entry.rope)
        known = next((name for name, preset in presets().items() if preset["hub"] == entry.hub), None)
        published = yaml.safe_load(SHAPES.read_text())
        return ModelShape.from_config(published[known], model, entry.rope) if known else None

    def models(self) -> Iterator[ModelPlan]:
        """One plan per model, in the config's order."""
        for model in self.grid.config.models:
            plan = ModelPlan(model, self.grid.config.models[model].gpus)
            shape = self.shape(model)
            if shape is None:
                continue
            speed = self._measured(model, shape)
            plan.measured = speed is not None
            for key in self.grid.cells:
                if key.model == model:
                    self._add(plan, key, shape, speed)
            yield plan

    def _add(self, plan: ModelPlan, key: Key, shape: ModelShape, speed: tuple[float, float] | None) -> None:
        cell = self.grid.cell(key)
        units = max(1, plan.gpus)
        decode = [(_decode(sweep), s) for sweep in cell.decode for s in sweep.sparsities]
        flops = sum(_flops(shape, key.length, cell.prefill, s, decode[0][0]) for s in cell.prefill.sparsities)
        rows = len(decode) * len(cell.prefill.sparsities) * cell.samples
        costs = [decode_cost(shape, key.length, ANSWER_TOK, 1 - s, method) for method, s in decode]
        steps = ceil(rows / cell.batch_rows) * ANSWER_TOK
        kv = sum(cost.kv for cost in costs) * len(cell.prefill.sparsities) * cell.samples * ANSWER_TOK
        read = steps * costs[0].weights + kv
        flop_rate = speed[0] if speed else self.gpu.flops * FLOPS_SHARE * units
        step_s = speed[1] if speed else (STEP_S if units > 1 else 0.0)
        plan.seconds += flops * cell.samples / flop_rate
        plan.seconds += max(steps * step_s, 0 if speed else read / (self.gpu.bandwidth * BANDWIDTH_SHARE * units))
        plan.cells, plan.rows = plan.cells + 1, plan.rows + rows
        plan.prefill_tok += key.length * cell.samples * len(cell.prefill.sparsities)
        plan.decode_tok += rows * ANSWER_TOK
        peak = peak_gb(shape, key.length, units)
        plan.peak_gb = max(plan.peak_gb, peak)
        if plan.gpus and peak > MEMORY_SHARE * self.gpu.gb:
            plan.too_big.append(key)

    def _measured(self, model: str, shape: ModelShape) -> tuple[float, float] | None:
        """FLOP/s of prefill and seconds of a decode step in the logs of earlier cells of this model."""
        flops = prefill_s = decode_s = 0.0
        steps = 0
        for log in self.results.glob(f"logs/infer/{model}/dense/*/*.log"):
            if found := LOGGED.search(log.read_text()):
                flops += int(found[1]) * _dense_flops(shape, int(log.stem))
                prefill_s, steps = prefill_s + float(found[2]), steps + int(found[3])
                decode_s += float(found[4])
        return (flops / prefill_s, decode_s / steps) if prefill_s and steps else None

    def lines(self) -> Iterator[str]:
        """The plan as text."""
        yield (
            f"{'model':<20} {'cells':>7} {'rows':>9} {'prefill tok':>12} {'decode tok':>12} {'GPUs':>5} "
            f"{'GPU-hours':>10} {'GB a GPU':>9}  speed"
        )
        total = 0.0
        notes: list[str] = []
        for plan in self.models():
            total += plan.gpu_hours
            if plan.too_big:
                least = min(key.length for key in plan.too_big)
                notes.append(
                    f"does not fit: {len(plan.too_big)} cells of {plan.model}, from {least} tokens on: "
                    f"raise models.{plan.model}.gpus, lower its max_length_tok, or take GPUs with more memory"
                )
            speed = "measured" if plan.measured else "data sheet"
            yield (
                f"{plan.model:<20} {plan.cells:>7} {plan.rows:>9} {plan.prefill_tok:>12.3g} {plan.decode_tok:>12.3g} "
                f"{plan.gpus:>5} {plan.gpu_hours:>10.1f} {plan.peak_gb:>9.1f}  {speed}"
            )
        yield f"about {total:.0f} GPU-hours; {ANSWER_TOK} tokens an answer; rows in the journal already cost nothing"
        yield from notes
        for model in self.grid.config.models:
            if self.shape(model) is None:
                yield (
                    f"left out: {model}, whose size is not known before it is fetched: run "
                    f"`snakemake --cores 1 results/models/{model}/model.json` first"
                )


def peak_gb(shape: ModelShape, length: int, gpus: int) -> float:
    """Memory of one GPU with one prompt of ``length`` on it: weights and KV cache are split, activations are not."""
    held = shape.parameters * ITEMSIZE + 1.25 * shape.kv_bytes_per_tok * length
    working = ITEMSIZE * shape.hidden * (8 * length + 16 * min(length, CHUNK_TOK))
    return (held / gpus + working) / 1e9


def _decode(sweep: Sweep) -> DecodeMethod:
    method = load_method(sweep.spec, "decode")
    assert isinstance(method, DecodeMethod)
    return method


def _flops(shape: ModelShape, length: int, prefill: Sweep, sparsity: float, decode: DecodeMethod) -> float:
    method = load_method(prefill.spec, "prefill")
    assert isinstance(method, PrefillMethod)
    return prefill_cost(shape, length, 1 - sparsity, method, decode).total


def _dense_flops(shape: ModelShape, length: int) -> float:
    from sparsebench.spec import MethodSpec

    dense = Sweep(spec=MethodSpec(label="dense", method="dense"), sparsities=(0.0,))
    return _flops(shape, length, dense, 0.0, _decode(dense))
