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


def _maybe(name: str, kind: pa.DataType, about: str, unit: str = "") -> pa.Field:
    return _field(name, kind, f"{about}; null where it cannot be known", unit).with_nullable(True)


def _interval(name: str, about: str, unit: str = "") -> list[pa.Field]:
    return [
        _maybe(f"{name}_low", _float, f"lower end of the 95 % interval of the {about}", unit),
        _maybe(f"{name}_high", _float, f"upper end of the 95 % interval of the {about}", unit),
    ]


_CONFIGURATION = [
    _field("phase", _text, "dense, prefill, decode or both: where attention is sparse"),
    _field("method", _text, "the sparse method; both phases: 'prefill@sparsity + decode'"),
    _field("sparsity", _float, "target sparsity of the phase; both phases: that of decode"),
    _field("prefill", _text, "prefill method as named in the config"),
    _field("prefill_sparsity", _float, "target share of causal query-key pairs skipped in prefill"),
    _field("decode", _text, "decode method as named in the config"),
    _field("decode_sparsity", _float, "target share of prompt KV entries skipped per generated token"),
    _field("control", pa.bool_(), "oracle or random: a bound to compare with, not a method to choose"),
]

_MEASURED_COST = [
    _field("prefill_density", _float, "mean measured share of causal query-key pairs computed"),
    _field("decode_density", _float, "mean measured share of prompt KV entries read per step"),
    _field("cost", _float, "relative attention cost: measured density of the phase; both: share of all pairs computed"),
]

ACCURACY = pa.schema(
    [
        _field("model", _text, "model as named in the config"),
        _field("task", _text, "task as named in the config"),
        _field("length_tok", _int, "prompt length asked for", "tokens"),
        *_CONFIGURATION,
        _field("metric", _text, "name of the task's metric"),
        _field("n", _int, "samples scored", "samples"),
        _field("n_missing", _int, "samples that other configurations of this task have and this one lacks", "samples"),
        _field("accuracy", _float, "mean score"),
        *_interval("accuracy", "mean score"),
        *_MEASURED_COST,
        _field("generated_tok", _float, "mean generated tokens", "tokens"),
        _field("parse_failed", _float, "share of samples in whose text no answer could be found"),
        _field("chance", _float, "score of a guesser"),
        _field("signal", pa.bool_(), "the dense score's interval lies clearly above chance"),
        _field("n_pairs", _int, "samples that this configuration and dense share", "samples"),
        _maybe("dense_accuracy", _float, "mean dense score over the pairs"),
        _maybe("difference", _float, "mean of sparse minus dense over the pairs"),
        *_interval("difference", "paired difference to dense"),
        _maybe("kept", _float, "accuracy as a share of dense over the pairs"),
        *_interval("kept", "share kept, dense taken as known"),
        _maybe("oracle_gap", _float, "mean of the score minus the oracle's at the same phase and sparsity"),
        *_interval("oracle_gap", "paired difference to the oracle"),
        _field("samples", pa.list_(_int), "indices of the samples scored, ascending"),
        _field("scores", pa.list_(_float), "their scores, in the order of samples"),
    ]
)

FRONTIER = pa.schema(
    [
        _field("model", _text, "model as named in the config"),
        _field("length_tok", _int, "prompt length asked for", "tokens"),
        *_CONFIGURATION,
        _field("tasks", _text, "tasks averaged, comma-separated"),
        _field("n_tasks", _int, "tasks averaged", "tasks"),
        _field("n", _int, "samples behind the average", "samples"),
        _field("accuracy", _float, "mean over tasks of the mean score"),
        *_interval("accuracy", "mean over tasks"),
        *_MEASURED_COST,
        _maybe("difference", _float, "mean over tasks of the paired difference to dense"),
        *_interval("difference", "mean paired difference to dense"),
        _maybe("kept", _float, "accuracy as a share of dense over the same tasks"),
        *_interval("kept", "share kept, dense taken as known"),
        _field("complete", pa.bool_(), "has every task with signal; others are shown, never members"),
        _field("member", pa.bool_(), "in the Pareto set: no configuration is both cheaper and as accurate"),
        _field("member_probability", _float, "share of bootstrap draws of the samples in which it is a member"),
    ]
)

EFFECTS = pa.schema(
    [
        _field("model", _text, "model as named in the config"),
        _field("task", _text, "task as named in the config"),
        _field("length_tok", _int, "prompt length asked for", "tokens"),
        *_CONFIGURATION,
        _field("n_pairs", _int, "samples that this configuration and dense share", "samples"),
        _field("difference", _float, "mean of sparse minus dense over the pairs"),
        *_interval("difference", "paired difference to dense"),
        _field("lost", _float, "share of pairs in which sparse scores less"),
        _field("won", _float, "share of pairs in which sparse scores more"),
        _maybe("effect_size", _float, "mean difference in standard deviations of the differences (Cohen's d_z)"),
        _field("p", _float, "paired permutation test, two-sided: the difference under random signs is as large"),
        _maybe("p_holm", _float, "p adjusted by Holm over the model's configurations, tasks and lengths with signal"),
    ]
)

TOLERANCE = pa.schema(
    [
        _field("model", _text, "model as named in the config"),
        _field("task", _text, "task as named in the config"),
        _field("length_tok", _int, "prompt length asked for", "tokens"),
        _field("phase", _text, "prefill, decode or both: where attention is sparse"),
        _field("method", _text, "the sparse method; both phases: 'prefill@sparsity + decode'"),
        _field("control", pa.bool_(), "oracle or random: a bound to compare with, not a method to choose"),
        _field("share", _float, "share of dense that must be kept"),
        _maybe("tolerance", _float, "highest sparsity up to which the lower end of the share kept stays above share"),
        _maybe("kept", _float, "share of dense kept there"),
        *_interval("kept", "share kept, dense taken as known"),
        _maybe(
            "by_mean", _float, "highest sparsity up to which the share kept itself, not its lower end, is share or more"
        ),
        _maybe("next_sparsity", _float, "lowest sparsity run at which it does not hold"),
        _field("n", _int, "fewest samples scored at any of its sparsities", "samples"),
        _field("worst", pa.bool_(), "the task of this model, length and method that tolerates least"),
    ]
)
