"""Config -> the cells to compute, and those that cannot be, with reasons."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Literal

from sparsebench.config import Config
from sparsebench.engine.digest import engine_digest
from sparsebench.entries import MethodEntry
from sparsebench.errors import UserError
from sparsebench.methodfiles import method_file
from sparsebench.names import method_spec, task_spec
from sparsebench.source import source_digest
from sparsebench.spec import CellSpec, DType, MethodSpec, MethodSpecs, PhasedSweep, Room, Sweep, TaskSpec

DENSE = "dense"
Phase = Literal["prefill", "decode"]


@dataclass(frozen=True)
class Key:
    """What names a cell in paths and wildcards."""

    model: str
    prefill: str
    task: str
    length: int


@dataclass(frozen=True)
class Dropped:
    """A cell that cannot be computed, and why."""

    key: Key
    reason: str


class Grid:
    """All cells of a config.

    Parameters
    ----------
    config
        A checked config.
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    @cached_property
    def _keys(self) -> tuple[list[Key], list[Dropped]]:
        config = self.config
        cells: list[Key] = []
        dropped: list[Dropped] = []
        prefills = [DENSE, *(label for label in config.prefill if label != DENSE)]
        for model in config.models:
            limit = self._limit(model)
            for task in config.tasks:
                entry = config.task(task)
                if entry.models is not None and model not in entry.models:
                    continue
                for length, prefill in product(entry.lengths or config.lengths, prefills):
                    if not self._runs_at("prefill", prefill, model, length):
                        continue
                    key = Key(model, prefill, task, length)
                    if limit is not None and length >= limit:
                        why = f"{model} takes {limit} tokens, prompt and answer together"
                        dropped.append(Dropped(key, why))
                    else:
                        cells.append(key)
        return cells, dropped

    @property
    def cells(self) -> list[Key]:
        """Cells to compute."""
        return self._keys[0]

    @property
    def dropped(self) -> list[Dropped]:
        """Cells that the models cannot take."""
        return self._keys[1]

    def _runs_at(self, phase: Phase, label: str, model: str, length: int) -> bool:
        entry = getattr(self.config, phase).get(label) or MethodEntry()
        return (entry.lengths is None or length in entry.lengths) and (entry.models is None or model in entry.models)

    def _limit(self, model: str) -> int | None:
        """The model's length limit as far as it is known before fetching; ``infer`` checks the real one again."""
        entry = self.config.models[model]
        if entry.max_length_tok is not None:
            return entry.max_length_tok
        if entry.rope is not None:
            return entry.rope.length_tok
        if entry.path is not None:
            file = Path(entry.path).expanduser() / "config.json"
            if file.is_file():
                try:
                    config = json.loads(file.read_bytes())
                    return config.get("text_config", config).get("max_position_embeddings")
                except (ValueError, AttributeError):
                    raise UserError(
                        f"models.{model}.path: {file} is no JSON object; allowed: what transformers saves"
                    ) from None
        return None

    def tokenizer(self, model: str) -> str:
        """Label of the model whose tokenizer, and so whose samples, this model uses."""
        return self.config.models[model].tokenizer or model

    def room(self, model: str) -> Room:
        """Where the rows of a model's cells run."""
        engine = self.config.engine
        ranks = max(1, self.config.models[model].gpus)
        return Room(batch_rows=engine.batch_rows, memory_mib=engine.memory_mib, ranks=ranks)

    def dtype(self, model: str) -> DType:
        """Number format of a model, or of random weights: its own, else the engine's."""
        entry = self.config.models.get(model)
        return (entry and entry.dtype) or self.config.engine.dtype

    def gpu_request(self, model: str) -> tuple[int, str | None]:
        """What a cell asks a cluster for: GPUs by number, or else generic resources by name."""
        return self._request(self.config.models[model].gpus)

    def measuring_gpu(self, model: str | None = None) -> tuple[int, str | None]:
        """The same for a timing, which runs on one GPU: none where ``model`` (default: all models) runs on a CPU."""
        known = self.config.models
        return self._request(min(1, known[model].gpus if model in known else max(m.gpus for m in known.values())))

    def _request(self, gpus: int) -> tuple[int, str | None]:
        kind = self.config.engine.gpu_request
        if not gpus or kind == "none":
            return 0, None
        return (gpus, None) if kind == "gpu" else (0, f"{kind.replace('gres', 'gpu', 1)}:{gpus}")

    def task(self, label: str) -> TaskSpec:
        """The task's specification."""
        return task_spec(self.config, label)

    @cached_property
    def _sweeps(self) -> dict[tuple[str, str], Sweep]:
        found: dict[tuple[str, str], Sweep] = {}
        phases: tuple[Phase, ...] = ("prefill", "decode")
        for phase in phases:
            entries = getattr(self.config, phase)
            for label in [DENSE, *entries]:
                spec = (
                    method_spec(self.config, phase, label)
                    if label in entries
                    else MethodSpec(label=DENSE, method=DENSE)
                )
                spec = spec.model_copy(update={"digest": source_digest(method_file(spec))})
                entry = entries.get(label)
                sparsities = (0.0,) if label == DENSE else (entry and entry.sparsity) or self.config.sparsity
                found[phase, label] = Sweep(spec=spec, sparsities=sparsities)
        return found

    def cell(self, key: Key) -> CellSpec:
        """The cell's specification: all that its job is told."""
        whole = key.prefill == DENSE or self.config.combine == "product"
        sparse = [label for label in self.config.decode if label != DENSE and whole]
        decode = [DENSE, *(label for label in sparse if self._runs_at("decode", label, key.model, key.length))]
        return CellSpec(
            model=key.model,
            prefill=self._sweeps["prefill", key.prefill],
            decode=tuple(self._sweeps["decode", label] for label in decode),
            task=key.task,
            length_tok=key.length,
            samples=self.task(key.task).samples,
            dtype=self.dtype(key.model),
            impl=self.config.engine.impl,
            cache=self.config.engine.cache,
            **dict(self.room(key.model)),
        )

    def methods(self) -> MethodSpecs:
        """The methods of both phases, for what their estimates cost."""
        phases: dict[str, list[MethodSpec]] = {"prefill": [], "decode": []}
        for (phase, label), sweep in self._sweeps.items():
            if label != DENSE:
                phases[phase].append(sweep.spec)
        return MethodSpecs.model_validate(phases)

    def measured(self, controls: bool = False) -> list[str]:
        """Labels of the methods that are timed: without dense, which every timing includes.

        ``controls``: oracle and random as well, whose time tells nothing of a method that anyone would run.
        """
        from sparsebench.stats.configuration import is_control

        labels = {label for _, label in self._sweeps if label != DENSE}
        return sorted(label for label in labels if controls or not is_control(label))

    def measured_sweeps(self, labels: Sequence[str]) -> list[PhasedSweep]:
        """The methods under these labels, in each phase that has one, with their sparsities."""
        return [
            PhasedSweep(**dict(sweep), phase=phase)
            for (phase, label), sweep in self._sweeps.items()
            if label in labels and label != DENSE
        ]

    @cached_property
    def engine_digest(self) -> str:
        """Digest of the engine's source, for rule params."""
        return engine_digest()

    def rows(self, key: Key) -> int:
        """Rows of a cell."""
        cell = self.cell(key)
        return cell.samples * len(cell.prefill.sparsities) * sum(len(sweep.sparsities) for sweep in cell.decode)

    def samples(self) -> list[tuple[str, str, int]]:
        """Every (tokenizer, task, length) whose samples the cells need."""
        return sorted({(self.tokenizer(key.model), key.task, key.length) for key in self.cells})

    def lines(self) -> Iterator[str]:
        """The grid as text: cells with their rows, dropped cells with reasons, totals."""
        yield f"{'model':<20} {'prefill':<18} {'task':<22} {'length':>8} {'prefills':>9} {'rows':>7}"
        prefills = rows = 0
        for key in self.cells:
            runs = self.cell(key).samples * len(self.cell(key).prefill.sparsities)
            prefills, rows = prefills + runs, rows + self.rows(key)
            yield f"{key.model:<20} {key.prefill:<18} {key.task:<22} {key.length:>8} {runs:>9} {self.rows(key):>7}"
        for item in self.dropped:
            key = item.key
            yield f"dropped: {key.model} {key.prefill} {key.task} {key.length}: {item.reason}"
        yield f"{len(self.cells)} cells, {prefills} prefills, {rows} rows; {len(self.dropped)} cells dropped"
