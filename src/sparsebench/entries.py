"""What the sections of a config hold: models, tasks, methods, engine, analysis, measurements."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from sparsebench.models.presets import unknown_preset
from sparsebench.models.rope import Rope
from sparsebench.models.source import KINDS, ModelSource
from sparsebench.spec import Cache, DType, Impl, Spec

# Labels become path parts and wildcards, so they are kept plain.
LABEL = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"

Label = Annotated[str, Field(pattern=f"^{LABEL}$")]
Length = Annotated[int, Field(ge=64, le=2**20, description="prompt length in tokens, chat template included")]
Sparsity = Annotated[float, Field(ge=0, lt=1, description="share of attention that is skipped, in [0, 1)")]


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    repeated = sorted({v for v in values if values.count(v) > 1})
    if repeated:
        raise ValueError(f"{repeated} given twice; allowed: distinct values")
    return values


Lengths = Annotated[tuple[Length, ...], Field(min_length=1), AfterValidator(_distinct)]
Sparsities = Annotated[tuple[Sparsity, ...], Field(min_length=1), AfterValidator(_distinct)]
Labels = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_distinct)]
Samples = Annotated[int, Field(ge=1, le=100_000, description="samples per task and length")]


class ModelEntry(ModelSource):
    """A model: where it comes from, and what the grid must know of it before it is fetched."""

    preset: str | None = Field(
        None, description="name of a model that `sparsebench presets` lists; default without a source: the label"
    )
    tokenizer: str | None = Field(
        None, description="label of the model whose samples it shares (same tokenizer); default: its own"
    )
    max_length_tok: Annotated[int, Field(ge=64)] | None = Field(
        None, description="longest prompt plus answer; default: what rope or the model's config states"
    )
    rope: Rope | None = Field(None, description="scaling of positions; default: what the model's config states")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] | None = Field(
        None, description="number format of this model; default: the engine's"
    )
    gpus: Annotated[int, Field(ge=0, le=64)] = Field(
        1, description="GPUs that a cell asks of a cluster; the model is split over them. 0: it asks for none"
    )

    @model_validator(mode="before")
    @classmethod
    def _known_preset(cls, given: Any) -> Any:
        # A preset that exists was put in its entry's place before: a name that is left is none.
        if isinstance(given, dict) and given.get("preset") is not None:
            sourceless = all(given.get(kind) is None for kind in KINDS)
            also = f"names no source (allowed: exactly one of {', '.join(KINDS)}), and " if sourceless else ""
            raise ValueError(also + unknown_preset(str(given["preset"])))
        return given

    def source(self) -> ModelSource:
        """The entry without what only the grid needs."""
        return ModelSource(**self.model_dump(include=set(ModelSource.model_fields)))


class TaskEntry(Spec):
    """A task: a generator and its parameters."""

    task: str | None = Field(None, description="name of the generator; default: the label")
    params: dict[str, Any] = Field({}, description="parameters of the generator")
    samples: Samples | None = Field(None, description="default: the config's samples")
    lengths: Lengths | None = Field(None, description="default: the config's lengths")
    models: Labels | None = Field(None, description="labels of the models that answer it; default: all")


class MethodEntry(Spec):
    """A method of one phase at several sparsities."""

    method: str | None = Field(None, description="name of the method; default: the label")
    class_: str | None = Field(None, alias="class", description="a method outside the package: path/to/file.py:Name")
    params: dict[str, Any] = Field({}, description="parameters of the method")
    sparsity: Sparsities | None = Field(None, description="default: the config's sparsity")
    lengths: Lengths | None = Field(None, description="lengths at which it runs; default: all")
    models: Labels | None = Field(None, description="labels of the models that run it; default: all")

    @model_validator(mode="after")
    def _one_name(self) -> MethodEntry:
        if self.method is not None and self.class_ is not None:
            raise ValueError("names both method and class; allowed: one of them")
        return self


class Engine(Spec):
    """How rows are computed; none of it changes what is asked."""

    impl: Impl = Field("auto", description="auto: triton on CUDA, reference elsewhere")
    dtype: DType = Field("auto", description="auto: bfloat16 on CUDA, float32 on CPU")
    cache: Cache = Field("shared", description="compacted: evicted KV entries are really freed")
    batch_rows: Annotated[int, Field(ge=1)] = Field(
        32, description="rows that decode together, at most; all rows of one prompt always do"
    )
    threads: Annotated[int, Field(ge=1)] = Field(
        8, description="CPU threads per cell, at most; spare cores run other cells"
    )
    gpu_request: str = Field(
        "gpu",
        pattern=r"^(gpu|gres(:[A-Za-z0-9_.]+)?|none)$",
        description="how jobs ask a cluster for GPUs: gpu (--gpus=1), gres (--gres=gpu:1), gres:TYPE, or none",
    )
    memory_mib: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="MiB that a batch may use beside the weights; default: what is free (on a CPU a quarter of it)",
    )


class Analysis(Spec):
    """How tables are made from scores; changing it recomputes tables alone."""

    share: Annotated[float, Field(gt=0, le=1)] = Field(0.95, description="share of dense that counts as kept")
    resamples: Annotated[int, Field(ge=200, le=100_000)] = Field(2000, description="bootstrap draws of each interval")
    permutations: Annotated[int, Field(ge=199, le=1_000_000)] = Field(
        9999, description="sign patterns drawn at least for a p, where they are too many to list"
    )
    cost_within: Annotated[float, Field(gt=0, le=1)] = Field(
        0.1, description="costs count as equal when they differ by at most this share"
    )
    flop_per_byte: Annotated[float, Field(gt=0)] = Field(
        295.0, description="FLOPs that a byte read counts for where both phases add up; default: an H100's balance"
    )


class MeasureAttention(Spec):
    """Time one layer's attention by every method of the config."""

    lengths: Lengths
    rows: Annotated[int, Field(ge=1)] = Field(1, description="prompts, or rows that decode together")
    heads: Annotated[int, Field(ge=1)] = Field(32, description="query heads")
    kv_heads: Annotated[int, Field(ge=1)] = Field(8, description="KV heads")
    head_dim: Annotated[int, Field(ge=1, le=256)] = Field(128, description="channels per head")

    @model_validator(mode="after")
    def _shared_evenly(self) -> MeasureAttention:
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} heads cannot share {self.kv_heads} kv_heads; allowed: a multiple of them")
        return self


class MeasureGeneration(Spec):
    """Time whole models by every method of the config, and the job of all decode settings at once."""

    lengths: Lengths
    models: Annotated[tuple[Label, ...], AfterValidator(_distinct)] = Field((), description="labels of models")
    random_weights: dict[Label, str] = Field(
        {},
        description="label -> a transformers config.json to fill with random weights, which run as fast as real ones",
    )
    fanout_tok: Annotated[int, Field(ge=2)] | None = Field(
        None, description="new tokens a row of the job of all decode settings; default: that job is not measured"
    )


class Measure(Spec):
    """What is timed on the device of the run; nothing by default."""

    attention: MeasureAttention | None = None
    generation: MeasureGeneration | None = None
