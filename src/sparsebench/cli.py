"""The command line: one subcommand per workflow rule, and a few to look around with."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from sparsebench import __version__
from sparsebench.commands import corpora, look, measure, query, reference, run, tabulate
from sparsebench.errors import UserError


class _Help(argparse.HelpFormatter):
    """Aligns purposes behind the longest command: argparse does not count the indentation of subcommands."""

    def add_argument(self, action: argparse.Action) -> None:
        self._indent()
        super().add_argument(action)
        self._dedent()


def parser() -> argparse.ArgumentParser:
    """The whole command line; each command module adds its subcommands."""
    top = argparse.ArgumentParser(
        prog="sparsebench", description="What sparse attention costs and what it loses.", formatter_class=_Help
    )
    top.add_argument("--version", action="version", version=f"sparsebench {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    for module in (run, corpora, measure, tabulate, query, look, reference):
        module.add(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; 0 when it worked, 1 for a mistake that the user can mend, 2 for a wrong call."""
    arguments = parser().parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("sparsebench").setLevel(logging.INFO)
    try:
        arguments.run(arguments)
    except UserError as error:
        print(f"sparsebench {arguments.command}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    return 0
