"""Columns of the tables of measurements."""

from __future__ import annotations

import pyarrow as pa


def _field(name: str, kind: pa.DataType, about: str, unit: str = "") -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={"about": about} | ({"unit": unit} if unit else {}))


_text, _int, _float = pa.string(), pa.int32(), pa.float64()

ATTENTION = pa.schema(
    [
        _field("phase", _text, "prefill or decode"),
        _field("method", _text, "method as named in the config"),
        _field("params", _text, "its parameters, as JSON"),
        _field("length_tok", _int, "prompt length", "tokens"),
        _field("sparsity", _float, "target share of attention skipped"),
        _field("density", _float, "measured share of attention computed"),
        _field("batch", _int, "prompts (prefill) or rows (decode)"),
        _field("heads", _int, "query heads"),
        _field("kv_heads", _int, "KV heads"),
        _field("head_dim", _int, "channels per head"),
        _field("dtype", _text, "dtype of queries, keys and values"),
        _field("estimation_ms", _float, "selection alone, median; 0 where it is made once per prompt", "ms"),
        _field("attention_ms", _float, "attention over a ready selection, median", "ms"),
        _field("total_ms", _float, "selection and attention, median", "ms"),
        _field("total_spread_ms", _float, "half the interquartile range of total_ms", "ms"),
        _field("dense_ms", _float, "fastest dense backend in the same run, median", "ms"),
        _field("dense_backend", _text, "which backend that was"),
        _field("speedup", _float, "dense_ms / total_ms"),
        _field("tflop_s", _float, "FLOPs of the attended pairs over attention_ms", "TFLOP/s"),
        _field("tb_s", _float, "bytes of the attended KV entries over attention_ms", "TB/s"),
        _field("ceiling_share", _float, "the phase's rate (prefill: tflop_s, decode: tb_s) over the measured ceiling"),
        _field("peak_mib", _float, "most device memory while it ran, inputs included", "MiB"),
        _field("readings", _int, "timings behind each median"),
    ]
)

GENERATION = pa.schema(
    [
        _field("model", _text, "model configuration"),
        _field("weights_gb", _float, "bytes of the weights", "GB"),
        _field("prefill", _text, "prefill method"),
        _field("prefill_sparsity", _float, "its target sparsity"),
        _field("decode", _text, "decode settings, as JSON"),
        _field("cache", _text, "shared or compacted"),
        _field("length_tok", _int, "prompt length", "tokens"),
        _field("rows", _int, "decode settings generated together"),
        _field("new_tok", _int, "generated tokens per row", "tokens"),
        _field("prefill_s", _float, "prefill, time to the first decode step", "s"),
        _field("step_ms", _float, "one decode step of all rows, mean over steps", "ms"),
        _field("floor_ms", _float, "weights and KV entries read in a step over the copy bandwidth", "ms"),
        _field("total_s", _float, "prefill and all steps", "s"),
        _field("peak_mib", _float, "most device memory", "MiB"),
    ]
)
