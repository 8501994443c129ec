"""A method's author writes ``select`` alone: nothing in kernels or engine knows any method by name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest

from sparsebench.engine.ops import Ops
from sparsebench.methods import method_classes

PACKAGE = Path(import_module("sparsebench").__file__ or "").parent
FILES = sorted(file for part in ("kernels", "engine") for file in (PACKAGE / part).glob("*.py"))
NAMES = {name for _, name in method_classes()}
# Ops are named after the kind of selection that they attend to, as some methods are; "random" is a word of its own
# (random weights). As names of variables they may stand; as strings, which a method could be told by, they may not.
WORDS = {f.name for f in fields(Ops)} | {"random"}
ORDINARY = re.compile("question|request", re.IGNORECASE)  # they hold the letters of a method's name


def used(source: str) -> Iterator[tuple[str, str]]:
    """Every identifier and every string of code, docstrings left out, as (kind, text)."""
    tree = ast.parse(source)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield "string", node.value
        for name in ("id", "attr", "name", "arg", "module", "asname"):
            if isinstance(text := getattr(node, name, None), str):
                yield "identifier", text


def named(kind: str, text: str) -> set[str]:
    """The methods that ``text`` names."""
    text = ORDINARY.sub("", text)
    if kind == "string":
        return {name for name in NAMES if text == name or (name not in WORDS and name in text)}
    if re.fullmatch(r"sparsebench\.methods\..*", text):
        return {text.split(".")[2]} & NAMES
    plain = text.replace("_", "").lower()
    return {name for name in NAMES - WORDS if name.replace("_", "") in plain}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_no_method_is_named(file: Path) -> None:
    found = {(text, name) for kind, text in used(file.read_text()) for name in named(kind, text)}
    found |= {(file.name, name) for name in named("identifier", file.stem)}
    assert not found


def test_naming_one_would_be_seen() -> None:
    code = (
        '"""Quest may stand here: quest."""\nfrom sparsebench.methods.snapkv import SnapKV\n'
        'if method.name == "dense" or isinstance(method, SnapKV):\n    quest_pages = f"random {flexprefill}"\n'
    )
    found = {name for kind, text in used(code) for name in named(kind, text)}
    assert found == {"snapkv", "dense", "quest", "flexprefill"}
