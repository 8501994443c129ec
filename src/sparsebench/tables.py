"""Every Arrow schema of the data flow, with units in field metadata, and the one way to read and write them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather

from sparsebench.errors import UserError


def _field(name: str, kind: pa.DataType, about: str, unit: str = "") -> pa.Field:
    meta = {"about": about} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, nullable=False, metadata=meta)


_text, _int, _float = pa.string(), pa.int32(), pa.float64()

_SAMPLE_KEY = [
    _field("task", _text, "task as named in the config"),
    _field("length_tok", _int, "prompt length asked for", "tokens"),
    _field("sample", _int, "index of the sample within (tokenizer, task, length)"),
]

SAMPLES = pa.schema(
    [
        _field("tokenizer", _text, "tokenizer that the sample belongs to"),
        *_SAMPLE_KEY,
        _field("seed", pa.int64(), "seed of this sample alone"),
        _field("prompt", _text, "whole prompt: chat template, question and answer prefix included"),
        _field("prompt_ids", pa.list_(_int), "the prompt as the model gets it", "token ids"),
        _field("prompt_tok", _int, "real length of the prompt", "tokens"),
        _field("answers", pa.list_(_text), "gold answers, as the scorer reads them"),
        _field("evidence_tok", pa.list_(_int), "where the evidence lies in the prompt", "tokens"),
        _field("max_new_tok", _int, "limit of generated tokens", "tokens"),
        _field("stop", pa.list_(_text), "strings that end the answer"),
        _field("meta", _text, "what else the scorer needs, as JSON"),
        _field("digest", _text, "digest of prompt_ids, limits and stop strings"),
    ]
)

_ROW_KEY = [
    _field("model", _text, "model as named in the config"),
    _field("prefill", _text, "prefill method as named in the config"),
    *_SAMPLE_KEY,
    _field("prefill_sparsity", _float, "target share of causal query-key pairs skipped in prefill"),
    _field("decode", _text, "decode method as named in the config"),
    _field("decode_sparsity", _float, "target share of prompt KV entries skipped per generated token"),
]

PREDICTIONS = pa.schema(
    [
        *_ROW_KEY,
        _field("prompt_tok", _int, "real length of the prompt", "tokens"),
        _field("prefill_density", _float, "measured share of causal query-key pairs computed in sparse layers"),
        _field("decode_density", _float, "measured share of prompt KV entries read per step in sparse layers"),
        _field("text", _text, "what the model generated after the prompt"),
        _field("generated_tok", _int, "generated tokens", "tokens"),
        _field("stop_reason", _text, "eos, stop (a stop string) or limit"),
        _field("row_digest", _text, "journal key of this row"),
    ]
)

SCORES = pa.schema(
    [
        *_ROW_KEY,
        _field("prompt_tok", _int, "real length of the prompt", "tokens"),
        _field("prefill_density", _float, "measured share of causal query-key pairs computed in sparse layers"),
        _field("decode_density", _float, "measured share of prompt KV entries read per step in sparse layers"),
        _field("generated_tok", _int, "generated tokens", "tokens"),
        _field("stop_reason", _text, "eos, stop (a stop string) or limit"),
        _field("score", _float, "score in [0, 1] by the task's metric"),
        _field("parse_failed", pa.bool_(), "no answer could be found in the text"),
        _field("chance", _float, "score of a guesser on this task"),
        _field("metric", _text, "name of the task's metric"),
    ]
)


def write_table(table: pa.Table, path: Path, provenance: Mapping[str, str] | None = None) -> None:
    """Write an Arrow IPC file (Feather v2) at once or not at all; ``provenance`` goes into the schema metadata."""
    meta = {**(table.schema.metadata or {}), **{k.encode(): v.encode() for k, v in (provenance or {}).items()}}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        feather.write_feather(table.replace_schema_metadata(meta), str(partial), compression="zstd")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """Read an Arrow IPC file that must have ``schema``'s columns; ``UserError`` if it is missing or damaged."""
    try:
        table = feather.read_table(str(path), memory_map=False)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(
            f"{path}: not a readable Arrow file ({error}); delete it and run again to make it anew"
        ) from None
    if table.schema.names != schema.names:
        raise UserError(
            f"{path}: columns {table.schema.names}, expected {schema.names}; "
            "it was written by another version: delete it and run again"
        )
    return table.cast(schema.with_metadata(table.schema.metadata))
