"""``python -m sparsebench.measure OUTPUT.csv --method block_sparse block=128 --length 131072 --sparsity 0.9``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pyarrow.csv as csv

from sparsebench.measure.attention import Shape, measure_attention
from sparsebench.methods import load_method, method_classes
from sparsebench.methods.base import DecodeMethod, PrefillMethod
from sparsebench.spec import MethodSpec


def _method(words: list[str]) -> PrefillMethod | DecodeMethod:
    name, *settings = words
    params = {key: json.loads(value) for key, value in (word.split("=", 1) for word in settings)}
    spec = MethodSpec(label=name, method=name, params=params)
    return load_method(spec, "decode") if ("decode", name) in method_classes() else load_method(spec, "prefill")


def main() -> None:
    """Measure, and write ``OUTPUT.csv`` with its metadata beside it in ``OUTPUT.json``."""
    parser = argparse.ArgumentParser(prog="python -m sparsebench.measure", description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--method", nargs="+", action="append", required=True, metavar=("NAME", "KEY=JSON"))
    parser.add_argument("--length", nargs="+", type=int, default=[131072])
    parser.add_argument("--sparsity", nargs="+", type=float, default=[0.8, 0.9, 0.95])
    parser.add_argument("--rows", type=int, default=1)
    args = parser.parse_args()
    table = measure_attention([_method(m) for m in args.method], args.length, args.sparsity, Shape(batch=args.rows))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    csv.write_csv(table, args.output)
    about = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    args.output.with_suffix(".json").write_text(json.dumps(about, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
