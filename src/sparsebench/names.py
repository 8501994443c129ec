"""Names in the config that must exist elsewhere: methods, tasks, models, and their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from sparsebench.config import Config, parse_config
from sparsebench.errors import UserError, unknown
from sparsebench.spec import MethodSpec, MethodSpecs, TaskSpec
from sparsebench.tasks.registry import load_task

PHASES: tuple[Literal["prefill", "decode"], ...] = ("prefill", "decode")


def method_spec(config: Config, phase: Literal["prefill", "decode"], label: str) -> MethodSpec:
    """The method of a config entry, without its digest."""
    entry = config.method(phase, label)
    return MethodSpec(label=label, method=entry.class_ or entry.method or label, params=entry.params)


def recorded_methods(config: Mapping[str, Any]) -> MethodSpecs:
    """The methods of a config as tables carry it; none where they carry none."""
    return method_specs(parse_config(config, checked=True)) if config else MethodSpecs()


def method_specs(config: Config) -> MethodSpecs:
    """All methods of a config but dense, without their digests."""
    labels = {phase: [label for label in getattr(config, phase) if label != "dense"] for phase in PHASES}
    prefill, decode = (tuple(method_spec(config, phase, label) for label in labels[phase]) for phase in PHASES)
    return MethodSpecs(prefill=prefill, decode=decode)


def task_spec(config: Config, label: str) -> TaskSpec:
    """The task of a config entry."""
    entry = config.task(label)
    return TaskSpec(
        label=label,
        task=entry.task or label,
        params=entry.params,
        samples=entry.samples or config.samples,
        seed=config.seed,
    )


def name_problems(config: Config) -> list[str]:
    """Every unknown name, wrong parameter and impossible pairing, one line each."""
    from sparsebench.methods import load_method  # torch: a second that jobs of a cluster need not take
    from sparsebench.stats.configuration import CONTROLS, is_control

    problems: list[str] = []

    def attempt(where: str, *error: UserError) -> None:
        for line in (line for e in error for line in str(e).splitlines()):
            problems.append(line if line.startswith(where.split(".")[0]) else f"{where}: {line}")

    for label, model in config.models.items():
        if model.tokenizer is not None and model.tokenizer not in config.models:
            attempt("models", unknown("model", model.tokenizer, config.models, f"models.{label}.tokenizer"))
        elif model.tokenizer is not None and config.models[model.tokenizer].tokenizer not in (None, model.tokenizer):
            problems.append(
                f"models.{label}.tokenizer: {model.tokenizer!r} takes its own samples from another model; "
                "allowed: a model that has its own"
            )
    lengths = {n for label in config.tasks for n in config.task(label).lengths or config.lengths}
    for label in config.tasks:
        for name in config.task(label).models or ():
            if name not in config.models:
                attempt("tasks", unknown("model", name, config.models, f"tasks.{label}.models"))
        try:
            load_task(task_spec(config, label))
        except UserError as error:
            attempt(f"tasks.{label}", error)
    for phase in PHASES:
        for label, entry in getattr(config, phase).items():
            if label == "dense" and entry is not None and entry != type(entry)():
                problems.append(f"{phase}.dense: takes no keys; allowed: `dense:` alone (it is always there)")
            for name in (entry and entry.models) or ():
                if name not in config.models:
                    attempt(phase, unknown("model", name, config.models, f"{phase}.{label}.models"))
            stray = sorted(set((entry and entry.lengths) or ()) - lengths)
            if stray:
                problems.append(
                    f"{phase}.{label}.lengths: {stray} is no length of any task; allowed: {sorted(lengths)}"
                )
            spec = method_spec(config, phase, label)
            try:
                load_method(spec, phase)
            except UserError as error:
                attempt(f"{phase}.{label}", error)
                continue
            if spec.method == "dense" and label != "dense":
                problems.append(f"{phase}.{label}: method dense; allowed: no entry (dense is always there)")
            # Tables and charts know the controls by their labels.
            control = spec.method in CONTROLS
            if control != is_control(label):
                allowed = f"such as {spec.method}_{label}" if control else f"that is none of {', '.join(CONTROLS)}"
                kind = "a control" if control else "no control"
                problems.append(f"{phase}.{label}: {spec.method} is {kind}; allowed: a label {allowed}")
    if config.measure.generation is not None:
        for label in config.measure.generation.models:
            if label not in config.models:
                attempt("measure", unknown("model", label, config.models, "measure.generation.models"))
            elif (gpus := config.models[label].gpus) > 1:
                problems.append(
                    f"measure.generation.models: {label} asks for {gpus} gpus; allowed: models of one GPU, or of none"
                )
        for label in config.measure.generation.random_weights:
            if label in config.models:
                problems.append(
                    f"measure.generation.random_weights.{label}: a model of the config has this label; allowed: another"
                )
    return problems
