"""Digests of source code: Snakemake does not see edits to package code, so rules carry these."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


@cache
def _imported_files(path: Path) -> frozenset[Path]:
    """Files of this package that the module at ``path`` imports directly, wherever in the file it does."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            head, *rest = name.split(".")
            if head == PACKAGE.name:
                base = PACKAGE.joinpath(*rest)
                found.update(p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file())
    return frozenset(found)


def source_files(*roots: Path, without: Path | None = None) -> list[Path]:
    """``roots`` and every file of this package that they import, directly or not, in a stable order.

    Files below the folder ``without`` are neither listed nor followed.
    """
    todo, seen = [p.resolve() for p in roots], set()
    while todo:
        path = todo.pop()
        if path in seen or (without is not None and path.is_relative_to(without.resolve())):
            continue
        seen.add(path)
        todo.extend(_imported_files(path))
    return sorted(seen)


def bytes_digest(*files: Path) -> str:
    """Digest of the bytes of files that are no code: templates, measurements."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def source_digest(*roots: Path, without: Path | None = None) -> str:
    """Digest of the bytes of :func:`source_files`; moving the checkout does not change it."""
    named = [
        (path.relative_to(PACKAGE) if path.is_relative_to(PACKAGE) else Path(path.name), path)
        for path in source_files(*roots, without=without)
    ]
    digest = hashlib.sha256()
    for name, path in sorted(named):  # by name: where a file outside the package lies must not matter either
        digest.update(f"{name}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
