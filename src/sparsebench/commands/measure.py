"""Subcommands that measure speed and memory, and print what was measured."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsebench.commands.arguments import Commands, command, output, spec
from sparsebench.errors import UserError, unknown
from sparsebench.spec import MethodSpec, PhasedSweep

if TYPE_CHECKING:
    from sparsebench.measure.bench import Sweeps


def add(commands: Commands) -> None:
    """Declare the subcommands of this module."""
    top = command(commands, "measure", "time attention or a whole model on this device, or show such timings", _none)
    kinds = top.add_subparsers(dest="kind", required=True, metavar="WHAT")

    sub = command(kinds, "attention", "one layer's attention, method by method, against the fastest dense", _attention)
    _common(sub)
    sub.add_argument("--rows", type=int, default=1, metavar="N", help="prompts, or rows that decode together (1)")
    sub.add_argument("--heads", type=int, default=32, metavar="N", help="query heads (32)")
    sub.add_argument("--kv-heads", type=int, default=8, metavar="N", help="KV heads (8)")
    sub.add_argument("--head-dim", type=int, default=128, metavar="N", help="channels per head (128)")

    sub = command(kinds, "generation", "time to first token and per output token of a whole model", _generation)
    _common(sub)
    model = sub.add_mutually_exclusive_group(required=True)
    model.add_argument("--model", type=Path, metavar="MODEL.JSON", help="of a fetched model")
    model.add_argument("--random-weights", type=Path, metavar="CONFIG.JSON", help="a transformers config to fill")
    sub.add_argument("--label", help="what to call the model (the file's or the fetched model's name)")
    sub.add_argument(
        "--cache", nargs="+", choices=("shared", "compacted"), default=["shared", "compacted"], help="both by default"
    )
    sub.add_argument(
        "--fanout", type=int, metavar="TOKENS", help="also time all decode settings as one job, so many new tokens each"
    )

    sub = command(kinds, "show", "print measurements as tables of Markdown", _show)
    sub.add_argument("files", type=Path, nargs="+", metavar="FILE", help="measurements (.arrow)")


def _common(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--method",
        nargs="+",
        action="append",
        default=[],
        metavar=("NAME", "KEY=VALUE"),
        help="a method with its parameters; sparsity=[...] instead of --sparsity; phase=decode where it has two",
    )
    sub.add_argument("--sparsity", nargs="+", type=float, default=[0.8, 0.9, 0.95], metavar="S")
    sub.add_argument(
        "--sweep", type=spec(PhasedSweep), action="append", default=[], metavar="JSON", help="as the workflow passes it"
    )
    sub.add_argument("--length", nargs="+", type=int, required=True, metavar="TOKENS")
    sub.add_argument("--impl", choices=("auto", "triton", "reference"), default="auto")
    sub.add_argument("--dtype", choices=("auto", "float32", "bfloat16", "float16"), default="auto")
    output(sub, "measurements (.arrow)")


def _none(given: argparse.Namespace) -> None:
    """Never run: a kind is required."""


def _sweeps(given: argparse.Namespace) -> Sweeps:
    from sparsebench.measure.bench import Labelled
    from sparsebench.methods import load_method

    chosen = [*given.sweep, *(sweep for words in given.method for sweep in _worded(words, tuple(given.sparsity)))]
    return [(Labelled(s.spec.label, load_method(s.spec, s.phase)), s.sparsities) for s in chosen]


def _worded(words: list[str], sparsities: tuple[float, ...]) -> list[PhasedSweep]:
    """``NAME KEY=VALUE ...`` as sweeps, one for each phase that has a method of the name."""
    from sparsebench.methods import method_classes

    name, *settings = words
    params: dict[str, Any] = {}
    for word in settings:
        key, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"--method {name}: {word!r}; allowed: KEY=VALUE, such as block=128")
        try:
            params[key] = json.loads(value)
        except ValueError:
            params[key] = value
    at = tuple(float(s) for s in params.pop("sparsity", sparsities))
    only = params.pop("phase", None)
    phases = [phase for phase, known in method_classes() if known == name and only in (None, phase)]
    if not phases:
        raise unknown("method", name, {known for _, known in method_classes()}, "--method")
    made = MethodSpec(label=name, method=name, params=params)
    return [PhasedSweep(spec=made, sparsities=(0.0,) if name == "dense" else at, phase=phase) for phase in phases]


def _attention(given: argparse.Namespace) -> None:
    from sparsebench.measure.attention import measure_attention
    from sparsebench.measure.bench import Shape
    from sparsebench.tables import write_table

    shape = Shape(given.rows, given.heads, given.kv_heads, given.head_dim)
    write_table(measure_attention(_sweeps(given), given.length, shape, given.impl, given.dtype), given.output)


def _generation(given: argparse.Namespace) -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as for `infer`
    from sparsebench.engine.load import load, pick_device
    from sparsebench.engine.ops import load_ops
    from sparsebench.engine.random_weights import load_random
    from sparsebench.measure.device import measure_ceilings
    from sparsebench.measure.generation import measure_generation
    from sparsebench.measure.subject import Subject
    from sparsebench.models.info import read_info
    from sparsebench.tables import write_table

    device, sweeps = pick_device(), _sweeps(given)
    if given.random_weights:
        model, label = load_random(given.random_weights, given.dtype, device), given.random_weights.stem
    else:
        info = read_info(given.model.parent)
        model, label = load(Path(info.folder), given.dtype, device, info.rope).model, info.name
    ceilings = measure_ceilings(device, model.dtype)
    subject = Subject(given.label or label, model, load_ops(given.impl, device), ceilings)
    write_table(measure_generation(subject, sweeps, given.length, given.cache, given.fanout), given.output)


def _show(given: argparse.Namespace) -> None:
    from sparsebench.measure.schema import MEASUREMENTS
    from sparsebench.measure.show import lines
    from sparsebench.tables import read_table

    for path in given.files:
        for line in lines(read_table(path, MEASUREMENTS)):
            print(line)
