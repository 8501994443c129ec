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
