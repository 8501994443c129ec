"""Tables of a cell: samples, predictions, scores."""

from __future__ import annotations

import pyarrow as pa

from sparsebench.tables.fields import BOOL, FLOAT, INT, TEXT, field

_SAMPLE_KEY = [
    field("task", TEXT, "task as named in the config"),
    field("length_tok", INT, "prompt length asked for", "tokens"),
    field("sample", INT, "index of the sample within (tokenizer, task, length)"),
]

SAMPLES = pa.schema(
    [
        field("tokenizer", TEXT, "tokenizer that the sample belongs to"),
        *_SAMPLE_KEY,
        field("seed", pa.int64(), "seed of this sample alone"),
        field("prompt", TEXT, "whole prompt: chat template, question and answer prefix included"),
        field("prompt_ids", pa.list_(INT), "the prompt as the model gets it", "token ids"),
        field("prompt_tok", INT, "real length of the prompt", "tokens"),
        field("answers", pa.list_(TEXT), "gold answers, as the scorer reads them"),
        field("evidence_tok", pa.list_(INT), "where the evidence lies in the prompt", "tokens"),
        field("max_new_tok", INT, "limit of generated tokens", "tokens"),
        field("stop", pa.list_(TEXT), "strings that end the answer"),
        field("meta", TEXT, "what else the scorer needs, as JSON"),
        field("digest", TEXT, "digest of prompt_ids, limits and stop strings"),
    ]
)

_ROW = [
    field("model", TEXT, "model as named in the config"),
    field("prefill", TEXT, "prefill method as named in the config"),
    *_SAMPLE_KEY,
    field("prefill_sparsity", FLOAT, "target share of causal query-key pairs skipped in prefill"),
    field("decode", TEXT, "decode method as named in the config"),
    field("decode_sparsity", FLOAT, "target share of prompt KV entries skipped per generated token"),
    field("prompt_tok", INT, "real length of the prompt", "tokens"),
    field("prefill_density", FLOAT, "measured share of causal query-key pairs computed in sparse layers"),
    field("decode_density", FLOAT, "measured share of prompt KV entries read per step in sparse layers"),
]

PREDICTIONS = pa.schema(
    [
        *_ROW,
        field("text", TEXT, "what the model generated after the prompt"),
        field("generated_tok", INT, "generated tokens", "tokens"),
        field("stop_reason", TEXT, "eos, stop (a stop string) or limit"),
        field("row_digest", TEXT, "journal key of this row"),
    ]
)

SCORES = pa.schema(
    [
        *_ROW,
        field("generated_tok", INT, "generated tokens", "tokens"),
        field("stop_reason", TEXT, "eos, stop (a stop string) or limit"),
        field("score", FLOAT, "score in [0, 1] by the task's metric"),
        field("evidence_tok", pa.list_(INT), "where the evidence lies in the prompt", "tokens"),
        field("parse_failed", BOOL, "no answer could be found in the text"),
        field("chance", FLOAT, "score of a guesser on this sample"),
        field("metric", TEXT, "name of the task's metric"),
    ]
)
