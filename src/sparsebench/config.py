"""The config: typed, checked as a whole, with every mistake told at once."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from sparsebench.entries import (
    LABEL,
    Analysis,
    Engine,
    Label,
    Lengths,
    Measure,
    MethodEntry,
    ModelEntry,
    Samples,
    Sparsities,
    TaskEntry,
)
from sparsebench.errors import UserError
from sparsebench.models.presets import with_preset
from sparsebench.spec import Spec


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
            message = "not a label; allowed: at most 100 letters, digits, '.', '_' and '-', a letter or digit first"
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
    from sparsebench.names import name_problems

    plain = _plain(given)

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


def _plain(given: Any) -> Any:
    """``given`` in JSON's types: Snakemake hands over mappings of its own, and YAML knows dates."""
    if isinstance(given, Mapping):
        return {str(key): _plain(value) for key, value in given.items()}
    if isinstance(given, list | tuple):
        return [_plain(value) for value in given]
    return given if given is None or isinstance(given, str | int | float) else str(given)


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


class RepeatedKey(UserError):
    """A key stands twice in a mapping of a YAML file."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping, where YAML's own rule is that the last one counts."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                line = key.start_mark.line + 1
                if key.value in lines:
                    raise RepeatedKey(f"line {line}: {key.value!r} stands in line {lines[key.value]} already")
                lines[key.value] = line
        return node


def read_yaml(path: Path) -> Any:
    """What a YAML file holds; ``UserError`` where it cannot be read, ``RepeatedKey`` where a key stands twice."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except RepeatedKey as error:
        raise RepeatedKey(f"{path}: {error}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: not a readable YAML file ({error})") from None


def refuse_repeated_keys(path: Path) -> None:
    """``RepeatedKey`` where a key stands twice in a file that something else reads, by its own rules."""
    try:
        read_yaml(path)
    except RepeatedKey:
        raise
    except UserError:
        pass


def read_config(path: Path) -> Config:
    """Read and check a YAML config."""
    given = read_yaml(path)
    if not isinstance(given, dict):
        raise UserError(f"{path}: holds {type(given).__name__}; allowed: a mapping, see config/README.md")
    return parse_config(given, str(path))


def config_schema() -> dict[str, Any]:
    """JSON schema of the config, for editors and for Snakemake users."""
    return Config.model_json_schema()
