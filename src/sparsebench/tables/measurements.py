"""Columns of the one table of measurements; device, driver, versions and ceilings are in its metadata."""

from __future__ import annotations

import pyarrow as pa

from sparsebench.tables.fields import FLOAT, INT, TEXT, field, maybe

FEWEST_FOR_SPREAD = 4  # readings: quartiles of fewer say nothing

MEASUREMENTS = pa.schema(
    [
        field("kind", TEXT, "attention: one layer's; generation: a whole model; fanout: a whole job of many settings"),
        field("device", TEXT, "name of the GPU, or of the processor with its threads"),
        field("model", TEXT, "the model's label; attention: its shape, as H32 G8 D128"),
        field("phase", TEXT, "prefill, decode or both"),
        field("method", TEXT, "method as named in the config; fanout: one_batch, alone or transformers"),
        field("params", TEXT, "parameters of the method, or facts of the job, as JSON"),
        field("length_tok", INT, "prompt length", "tokens"),
        field("sparsity", FLOAT, "target share of attention skipped"),
        field("density", FLOAT, "measured share of attention computed (prefill) or of prompt KV read (decode)"),
        field("rows", INT, "prompts (prefill), or rows that decode together"),
        maybe("new_tok", INT, "generated tokens per row", "tokens"),
        field("cache", TEXT, "shared or compacted (evicted KV entries freed)"),
        field("heads", INT, "query heads"),
        field("kv_heads", INT, "KV heads"),
        field("head_dim", INT, "channels per head"),
        field("dtype", TEXT, "dtype of queries, keys, values and weights"),
        field(
            "time_ms",
            FLOAT,
            "median. attention: the op, selection included; generation: prefill, time to first token; decode, time per "
            "output token; fanout: the job",
            "ms",
        ),
        maybe(
            "spread_ms", FLOAT, f"half the interquartile range of time_ms, from {FEWEST_FOR_SPREAD} readings on", "ms"
        ),
        field("readings", INT, "timings behind the median"),
        maybe("estimation_ms", FLOAT, "selection alone, median; 0 where it is made once per prompt", "ms"),
        maybe("attention_ms", FLOAT, "attention over a ready selection, median", "ms"),
        field("baseline", TEXT, "what it is held against: the fastest dense backend; fanout: transformers"),
        field("baseline_ms", FLOAT, "its median in the same run", "ms"),
        field("speedup", FLOAT, "baseline_ms / time_ms"),
        maybe("tflop_s", FLOAT, "FLOPs over attention_ms (attention) or time_ms (generation)", "TFLOP/s"),
        maybe("tb_s", FLOAT, "bytes of weights and KV entries read over attention_ms or time_ms", "TB/s"),
        maybe("floor_ms", FLOAT, "what FLOPs (prefill) or bytes (decode) take at the measured ceiling", "ms"),
        maybe("kv_mib", FLOAT, "KV cache really held, with suffixes, index lists and the methods' state", "MiB"),
        maybe(
            "peak_mib",
            FLOAT,
            "most device memory while it ran, weights and inputs included; in compacted rows the whole prompt's cache "
            "too, which other rows still need: what compaction frees shows in kv_mib alone",
            "MiB",
        ),
    ]
)
