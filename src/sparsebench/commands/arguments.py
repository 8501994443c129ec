"""How subcommands are declared, and argument types they share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Commands = Any  # argparse keeps the type of subparsers private
Model = TypeVar("Model", bound=BaseModel)


def command(
    commands: Commands, name: str, purpose: str, run: Callable[[argparse.Namespace], None]
) -> argparse.ArgumentParser:
    """Declare a subcommand with a one-line purpose."""
    sub: argparse.ArgumentParser = commands.add_parser(name, help=purpose, description=purpose)
    sub.set_defaults(run=run)
    return sub


def output(sub: argparse.ArgumentParser, what: str) -> None:
    """Add ``--output``."""
    sub.add_argument("--output", type=Path, required=True, metavar="FILE", help=what)


def spec(kind: type[Model]) -> Callable[[str], Model]:
    """Argument type: JSON of a specification, as the workflow passes it."""

    def parse(text: str) -> Model:
        try:
            return kind.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise argparse.ArgumentTypeError(f"not a {kind.__name__} as JSON: {where}: {first['msg']}") from None

    return parse


def whole(least: int) -> Callable[[str], int]:
    """Argument type: a whole number of at least ``least``."""

    def parse(text: str) -> int:
        if not text.lstrip("-").isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}; allowed: a whole number, {least} or more")
        return int(text)

    return parse


def sparsity(text: str | float) -> float:
    """Argument type: a share of attention that is skipped."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"sparsity {text!r}; allowed: 0 or more, below 1")
    return value
