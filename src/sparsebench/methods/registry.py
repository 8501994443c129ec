"""Methods by name: found by folder, or named as ``path/to/file.py:Class``; parameters checked against their types."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_type_hints, overload

from pydantic import ConfigDict, TypeAdapter, ValidationError

from sparsebench.errors import UserError, unknown
from sparsebench.methodfiles import METHOD_FOLDER, external_parts, is_external
from sparsebench.methods.base import DecodeMethod, Method, Phase, PrefillMethod
from sparsebench.spec import MethodSpec


def _methods_in(module: ModuleType) -> list[type[Method]]:
    """Classes that the module itself defines and that select; what they leave unstated is the caller's to say."""
    return [
        found
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, PrefillMethod | DecodeMethod)
        and "select" not in found.__abstractmethods__
        and found.__module__ == module.__name__
    ]


@cache
def method_classes() -> dict[tuple[Phase, str], type[Method]]:
    """Every method of the package, by phase and name."""
    found: dict[tuple[Phase, str], type[Method]] = {}
    for path in sorted(METHOD_FOLDER.glob("*.py")):
        if path.stem != "__init__":
            for method in _methods_in(importlib.import_module(f"sparsebench.methods.{path.stem}")):
                if missing := method.unstated():
                    raise UserError(f"{path}: {method.__name__} does not state its {', '.join(missing)}")
                if (other := found.setdefault((method.phase, method.name), method)) is not method:
                    raise UserError(
                        f"{path}: {method.__name__} is the {method.phase} method {method.name!r}, and so is "
                        f"{other.__name__} in {Path(inspect.getfile(other)).name}; give one of them another name"
                    )
    return found


def method_phases(spec: MethodSpec) -> list[Phase]:
    """The phases in which ``spec`` names a method; none for an unknown name."""
    if is_external(spec):
        return [_external_class(spec).phase]
    return [phase for phase, name in method_classes() if name == spec.method]


def method_class(spec: MethodSpec, phase: Phase) -> type[Method]:
    """The class that ``spec`` names; raises ``UserError`` as :func:`load_method` does."""
    phases = method_phases(spec)
    if phase in phases:
        return _external_class(spec) if is_external(spec) else method_classes()[phase, spec.method]
    if is_external(spec):
        classes = _external_classes(spec).items()
        serving = [f"{external_parts(spec)[0]}:{name}" for name, found in classes if found.phase == phase]
    else:
        serving = [name for kind, name in method_classes() if kind == phase]
    if not phases:
        raise unknown("method", spec.method, serving, f"{phase} method {spec.label!r}")
    raise UserError(
        f"{phase} method {spec.label!r}: {spec.method!r} is a {phases[0]} method and cannot serve {phase}; list it "
        f"under {phases[0]} (allowed under {phase}: {', '.join(sorted(serving)) or 'none of that file'})"
    )


@overload
def load_method(spec: MethodSpec, phase: Literal["prefill"]) -> PrefillMethod: ...
@overload
def load_method(spec: MethodSpec, phase: Literal["decode"]) -> DecodeMethod: ...
def load_method(spec: MethodSpec, phase: Phase) -> PrefillMethod | DecodeMethod:
    """Build the method of ``spec`` for ``phase``.

    Raises
    ------
    UserError
        For an unknown method or parameter (with the nearest name), a value of the wrong type or outside its range,
        and a method that cannot serve ``phase``.
    """
    found = method_class(spec, phase)
    params = _checked_params(spec, found)
    try:
        method = found(**params)
    except UserError as error:
        raise UserError(f"method {spec.label!r}: {error}") from None
    assert isinstance(method, PrefillMethod | DecodeMethod)
    return method


def _external_classes(spec: MethodSpec) -> dict[str, type[Method]]:
    path, _ = external_parts(spec)
    return {found.__name__: found for found in _methods_in(_external_module(spec, path.resolve()))}


def _external_class(spec: MethodSpec) -> type[Method]:
    (path, name), methods = external_parts(spec), _external_classes(spec)
    if name not in methods:
        raise unknown("class", name, methods, f"method {spec.label!r}: methods in {path}")
    if missing := methods[name].unstated():
        raise UserError(f"method {spec.label!r}: {spec.method} does not state its {', '.join(missing)}")
    return methods[name]


def _external_module(spec: MethodSpec, path: Path) -> ModuleType:
    # known by its whole path: dataclasses look their module up while they are built, and two files may share a name
    name = f"sparsebench_external:{path}"
    if name in sys.modules:
        return sys.modules[name]
    loader = importlib.util.spec_from_file_location(name, path)
    assert loader is not None and loader.loader is not None
    module = importlib.util.module_from_spec(loader)
    sys.modules[name] = module
    try:
        loader.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UserError(f"method {spec.label!r}: {path} cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def _checked_params(spec: MethodSpec, found: type[Method]) -> dict[str, Any]:
    """Parameters with the types of the fields; all mistakes in one error."""
    types = get_type_hints(found)
    allowed = [field.name for field in fields(found) if field.init]  # type: ignore[arg-type]
    mistakes, params = [], {}
    for name, value in spec.params.items():
        if name not in allowed:
            near = difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            mistakes.append(f"unknown parameter {name!r}{hint} (allowed: {', '.join(allowed) or 'none'})")
            continue
        try:
            params[name] = TypeAdapter(types[name], config=ConfigDict(strict=True)).validate_python(value)
        except ValidationError as error:
            mistakes.append(f"{name}: {value!r}; {error.errors()[0]['msg'].lower()}")
    if mistakes:
        raise UserError(f"method {spec.label!r} ({found.name}): " + "; ".join(mistakes))
    return params
