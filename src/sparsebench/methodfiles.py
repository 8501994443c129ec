"""Which file defines a method, found without importing it, and torch with it: every job of a cluster asks twice."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from sparsebench.errors import UserError, unknown
from sparsebench.source import PACKAGE
from sparsebench.spec import MethodSpec

METHOD_FOLDER = PACKAGE / "methods"


def is_external(spec: MethodSpec) -> bool:
    """Whether the method lies outside the package."""
    return ":" in spec.method or spec.method.endswith(".py")


def external_parts(spec: MethodSpec) -> tuple[Path, str]:
    """File and class of a method outside the package; ``UserError`` where it names none."""
    path, _, name = spec.method.rpartition(":")
    if not path.endswith(".py") or not name.isidentifier():
        raise UserError(
            f"method {spec.label!r}: {spec.method!r}; a method outside the package is path/to/file.py:Class"
        )
    if not Path(path).is_file():
        raise UserError(f"method {spec.label!r}: no file {path!r} in {Path.cwd()}")
    return Path(path), name


@cache
def _files() -> dict[str, Path]:
    """File of each method of the package by name: its classes state ``name: ClassVar[str] = "..."``."""
    return {
        line.value.value: path
        for path in sorted(METHOD_FOLDER.glob("*.py"))
        for method in ast.parse(path.read_bytes()).body
        if isinstance(method, ast.ClassDef)
        for line in method.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.target.id == "name"
        if isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)
    }


def method_file(spec: MethodSpec) -> Path:
    """File that defines the method of ``spec``, for digests of its source."""
    if is_external(spec):
        return external_parts(spec)[0]
    if spec.method not in _files():
        raise unknown("method", spec.method, _files(), f"method {spec.label!r}")
    return _files()[spec.method]
