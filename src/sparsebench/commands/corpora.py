"""Subcommands on what tasks are made of: corpora, and how synthesis performs."""

from __future__ import annotations

import argparse
from pathlib import Path

from sparsebench.commands.arguments import Commands, command, output, whole


def add(commands: Commands) -> None:
    """Declare the subcommands of this module."""
    sub = command(commands, "fetch-corpus", "fetch and verify a question-answering corpus", _fetch)
    sub.add_argument("name", help="its name in the sources")
    sub.add_argument("--sources", type=Path, required=True, metavar="FILE", help="resources/sources.tsv")
    sub.add_argument("--copy", metavar="PATH", help="take this file instead, or `shipped` for the small one")
    output(sub, "the corpus, as published")
    sub = command(commands, "bench-synthesis", "measure fill, time and memory of making samples", _bench)
    sub.add_argument(
        "--model", type=Path, required=True, metavar="PATH", help="as in show-sample; its tokenizer counts"
    )
    sub.add_argument("--tasks", nargs="*", default=[], metavar="TASK", help="default: all")
    sub.add_argument("--lengths", nargs="+", type=whole(1), default=[4096, 32768, 131072], metavar="TOKENS")
    sub.add_argument("--samples", type=whole(1), default=100)


def _fetch(given: argparse.Namespace) -> None:
    from sparsebench.corpora.fetch import fetch_corpus

    fetch_corpus(given.name, given.output, given.sources, {given.name: given.copy} if given.copy else None)


def _bench(given: argparse.Namespace) -> None:
    from sparsebench.models.info import tokenizer_dir
    from sparsebench.tasks.bench import synthesis_figures

    for line in synthesis_figures(tokenizer_dir(given.model), given.lengths, given.samples, given.tasks):
        print(line, flush=True)
