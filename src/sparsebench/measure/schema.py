"""Columns of the one table of measurements; device, driver, versions and ceilings are in its metadata."""

from __future__ import annotations

import pyarrow as pa


def _field(name: str, kind: pa.DataType, about: str, unit: str = "") -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={"about": about} | ({"unit": unit} if unit else {}))


def _maybe(name: str, kind: pa.DataType, about: str, unit: str = "") -> pa.Field:
    return _field(name, kind, f"{about}; null where it means nothing", unit).with_nullable(True)


_text, _int, _float = pa.string(), pa.int32(), pa.float64()

MEASUREMENTS = pa.schema(
    [
        _field(
            "kind", _text, "attention: one layer's; generation: a whole model; fanout: a whole job of many settings"
        ),
        _field("device", _text, "name of the GPU, or of the processor with its threads"),
        _field("model", _text, "the model's label; attention: its shape, as H32 G8 D128"),
        _field("phase", _text, "prefill, decode or both"),
        _field("method", _text, "method as named in the config; fanout: one_batch, alone or transformers"),
        _field("params", _text, "parameters of the method, or facts of the job, as JSON"),
        _field("length_tok", _int, "prompt length", "tokens"),
        _field("sparsity", _float, "target share of attention skipped"),
        _field("density", _float, "measured share of attention computed (prefill) or of prompt KV read (decode)"),
        _field("rows", _int, "prompts (prefill), or rows that decode together"),
        _maybe("new_tok", _int, "generated tokens per row", "tokens"),
        _field("cache", _text, "shared or compacted (evicted KV entries freed)"),
        _field("heads", _int, "query heads"),
        _field("kv_heads", _int, "KV heads"),
        _field("head_dim", _int, "channels per head"),
        _field("dtype", _text, "dtype of queries, keys, values and weights"),
        _field(
            "time_ms",
            _float,
            "median. attention: the op, selection included; generation: prefill, time to first token; decode, time per "
            "output token; fanout: the job",
            "ms",
        ),
        _field("spread_ms", _float, "half the interquartile range of time_ms; 0 below 4 readings", "ms"),
        _field("readings", _int, "timings behind the median"),
        _maybe("estimation_ms", _float, "selection alone, median; 0 where it is made once per prompt", "ms"),
        _maybe("attention_ms", _float, "attention over a ready selection, median", "ms"),
        _field("baseline", _text, "what it is held against: the fastest dense backend; fanout: transformers"),
        _field("baseline_ms", _float, "its median in the same run", "ms"),
        _field("speedup", _float, "baseline_ms / time_ms"),
        _maybe("tflop_s", _float, "FLOPs over attention_ms (attention) or time_ms (generation)", "TFLOP/s"),
        _maybe("tb_s", _float, "bytes of weights and KV entries read over attention_ms or time_ms", "TB/s"),
        _maybe("floor_ms", _float, "what FLOPs (prefill) or bytes (decode) take at the measured ceiling", "ms"),
        _maybe("kv_mib", _float, "KV cache really held, with suffixes, index lists and the methods' state", "MiB"),
        _maybe("peak_mib", _float, "most device memory while it ran, weights and inputs included", "MiB"),
    ]
)
