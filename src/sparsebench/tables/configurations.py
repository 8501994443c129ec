"""Columns that several tables share: what names a configuration, and what it costs."""

from __future__ import annotations

from sparsebench.tables.fields import BOOL, FLOAT, INT, TEXT, field, maybe

PLACE = [
    field("model", TEXT, "model as named in the config"),
    field("task", TEXT, "task as named in the config"),
    field("length_tok", INT, "prompt length asked for", "tokens"),
]

CONTROL = field("control", BOOL, "oracle or random: a bound to compare with, not a method to choose")

CONFIGURATION = [
    field("phase", TEXT, "dense, prefill, decode or both: where attention is sparse"),
    field("method", TEXT, "the sparse method; both phases: 'prefill@sparsity + decode'"),
    field("sparsity", FLOAT, "target sparsity of the phase; both phases: that of decode"),
    field("prefill", TEXT, "prefill method as named in the config"),
    field("prefill_sparsity", FLOAT, "target share of causal query-key pairs skipped in prefill"),
    field("decode", TEXT, "decode method as named in the config"),
    field("decode_sparsity", FLOAT, "target share of prompt KV entries skipped per generated token"),
    CONTROL,
]

METHOD = [
    field("phase", TEXT, "prefill, decode or both: where attention is sparse"),
    field("method", TEXT, "the sparse method; both phases: 'prefill@sparsity + decode'"),
    CONTROL,
]

DENSITY = [
    field("prefill_density", FLOAT, "mean measured share of causal query-key pairs computed"),
    field("decode_density", FLOAT, "mean measured share of prompt KV entries read per step"),
    field("attention_share", FLOAT, "measured density of the sparse phase; both: share of all pairs computed"),
]

COST = [
    field("prefill_flops", FLOAT, "computed for the prompt by the whole model, choosing included", "FLOP"),
    field("attention_flops", FLOAT, "of these, attention and choosing", "FLOP"),
    field("estimation_flops", FLOAT, "of these, choosing alone", "FLOP"),
    field("decode_bytes", FLOAT, "read per generated token by the whole model, one row decoding by itself", "bytes"),
    field("kv_bytes", FLOAT, "of these, KV entries and what choosing reads", "bytes"),
    field("metadata_bytes", FLOAT, "of these, what choosing reads", "bytes"),
    field("answer_flops", FLOAT, "prompt and answer together, a byte read counted as analysis.flop_per_byte", "FLOP"),
    field("cost", FLOAT, "cost of the phase: prefill_flops, decode_bytes; dense or both phases sparse: answer_flops"),
    maybe("cost_share", FLOAT, "cost over that of the same model's dense line in the same phase"),
]
