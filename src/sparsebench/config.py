"""The config: typed, checked as a whole, with every mistake told at once."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from sparsebench.errors import UserError
from sparsebench.models.presets import unknown_preset, with_preset
from sparsebench.models.rope import Rope
from sparsebench.models.source import KINDS, ModelSource
from sparsebench.spec import Cache, DType, Impl, Spec

# Labels become path parts and wildcards, so they are kept plain.
LABEL = r"[A-Za-z0-9][A-Za-z0-9._-]*"

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
        1, description="GPUs that a cell asks of a cluster; the model is split over them. 0: it runs on a CPU"
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
    models: tuple[str, ...] | None = Field(None, description="labels of the models that answer it; default: all")


class MethodEntry(Spec):
    """A method of one phase at several sparsities."""

    method: str | None = Field(None, description="name of the method; default: the label")
    class_: str | None = Field(None, alias="class", description="a method outside the package: path/to/file.py:Name")
    params: dict[str, Any] = Field({}, description="parameters of the method")
    sparsity: Sparsities | None = Field(None, description="default: the config's sparsity")
    lengths: Lengths | None = Field(None, description="lengths at which it runs; default: all")
    models: tuple[str, ...] | None = Field(None, description="labels of the models that run it; default: all")

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
    batch_rows: Annotated[int, Field(ge=1)] = Field(32, description="rows that decode together, at most")
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


class Config(Spec):
    """Everything a run is told. See ``config/README.md``."""

    seed: int = Field(0, description="changes every sample")
    samples: Samples = 20
    lengths: Lengths
    sparsity: Sparsities = Field((0.5, 0.8, 0.95), description="sparsities of methods that name none")
    models: dict[Label, ModelEntry] = Field(min_length=1)
    tasks: dict[Label, TaskEntry | None] = Field(min_length=1)
    prefill: dict[Label, MethodEntry | None] = Field({}, description="prefill methods; dense is always there")
    decode: dict[Label, MethodEntry | None] = Field({}, description="decode methods; dense is always there")
    combine: Literal["phases", "product"] = Field(
        "phases", description="phases: sweep one phase at a time, the other dense; product: every pair of settings"
    )
    engine: Engine = Engine()
    analysis: Analysis = Analysis()
    measure: Measure = Measure()
    corpora: dict[str, str] = Field(
        {}, description="local copies of corpora: name -> path, or shipped for the small one"
    )

    @field_validator("models", mode="before")
    @classmethod
    def _from_presets(cls, given: Any) -> Any:
        return {k: with_preset(k, v) for k, v in given.items()} if isinstance(given, dict) else given

    @field_validator("tasks", "prefill", "decode", mode="before")
    @classmethod
    def _empty_section(cls, given: Any) -> Any:
        return {} if given is None else given

    def task(self, label: str) -> TaskEntry:
        """Entry of a task (``label:`` alone means all defaults)."""
        return self.tasks[label] or TaskEntry()

    def method(self, phase: Literal["prefill", "decode"], label: str) -> MethodEntry:
        """Entry of a method (``label:`` alone means all defaults)."""
        return getattr(self, phase)[label] or MethodEntry()


def _problems(error: ValidationError) -> list[str]:
    lines = []
    problems = error.errors()
    places = [problem["loc"] for problem in problems]
    for problem in problems:
        loc = problem["loc"]
        # A list whose items are all wrong counts as too short on top of that.
        if problem["type"] == "too_short" and any(place[: len(loc)] == loc and place != loc for place in places):
            continue
        where = ".".join(str(part) for part in loc if part != "[key]") or "config"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "is not a key here; config/README.md lists the allowed ones"
        elif loc and loc[-1] == "[key]":
            message = "not a label; allowed: letters, digits, '.', '_' and '-', a letter or digit first"
        given = problem["input"]
        shown = "" if isinstance(given, dict) or problem["type"] in ("missing", "value_error") else f"{given!r}: "
        lines.append(f"{where}: {shown}{message}")
    return lines


def parse_config(given: Mapping[str, Any], origin: str = "config", *, checked: bool = False) -> Config:
    """Check a whole config.

    Parameters
    ----------
    checked
        Its names were looked up before, by the run that this process is a job of: that takes a second.

    Raises
    ------
    UserError
        One line for every mistake: ``where: what was given, what is allowed``.
    """
    # Round trip: Snakemake hands over its own mapping types, and JSON knows only plain ones.
    plain = json.loads(json.dumps(given, default=str))
    from sparsebench.names import name_problems

    problems: list[str] = []
    try:
        config = Config.model_validate(plain)
    except ValidationError as error:
        problems = _problems(error)
        config = _sound_part(plain, error)
    if not checked:
        problems += name_problems(config)
    if problems:
        raise _report(problems, origin)
    return config


def _sound_part(plain: dict[str, Any], error: ValidationError) -> Config:
    """What is left without the keys in ``error``, so that names in the rest are checked at once too."""
    rest = copy.deepcopy(plain)
    for problem in error.errors():
        keys = list(takewhile(lambda part: isinstance(part, str), problem["loc"]))
        holder: Any = rest
        for key in keys[:-1]:
            holder = holder.get(key) if isinstance(holder, dict) else None
        if keys and isinstance(holder, dict):
            holder.pop(keys[-1], None)
    known = {"lengths": [1024], "tasks": {}, "prefill": {}, "decode": {}} | rest
    # Labels stay known: a model with a mistake of its own may still lend its samples to another.
    labels = plain["models"] if isinstance(plain.get("models"), dict) else {}
    lent = {label: {"hub": "any/model"} for label in labels if re.fullmatch(LABEL, str(label))} or {
        "any": {"hub": "a/b"}
    }
    try:
        return Config.model_validate(known | {"tasks": known["tasks"] or {"ruler_niah": None}, "models": lent})
    except ValidationError:
        return Config.model_validate({"lengths": [1024], "models": lent, "tasks": {"ruler_niah": None}})


def _report(problems: list[str], origin: str) -> UserError:
    many = f"{len(problems)} mistakes" if len(problems) > 1 else "a mistake"
    return UserError("\n".join([f"{origin} has {many}:", *(f"  {line}" for line in problems)]))


def read_config(path: Path) -> Config:
    """Read and check a YAML config."""
    try:
        given = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{path}: not a readable YAML file ({error})") from None
    if not isinstance(given, dict):
        raise UserError(f"{path}: holds {type(given).__name__}; allowed: a mapping, see config/README.md")
    return parse_config(given, str(path))


def config_schema() -> dict[str, Any]:
    """JSON schema of the config, for editors and for Snakemake users."""
    return Config.model_json_schema()
