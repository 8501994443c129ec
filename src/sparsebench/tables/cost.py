"""Tables of accuracy against cost: models, frontier, equal cost."""

from __future__ import annotations

import pyarrow as pa

from sparsebench.tables.configurations import CONFIGURATION, COST, DENSITY
from sparsebench.tables.fields import BOOL, FLOAT, INT, TEXT, field, interval, maybe

_WIDE = pa.int64()

MODELS = pa.schema(
    [
        field("model", TEXT, "model as named in the config"),
        field("tokenizer", TEXT, "model whose tokenizer, and so whose samples, it uses"),
        field("source", TEXT, "where it came from"),
        field("architecture", TEXT, "class of the model in transformers"),
        field("parameters", _WIDE, "weights in all, embeddings included"),
        field("active_parameters", _WIDE, "weights that one token passes through, the output layer included"),
        field("layers", INT, "decoder layers"),
        field("global_layers", INT, "layers whose attention has no sliding window: those that become sparse"),
        maybe("window_tok", INT, "reach of the other layers", "tokens"),
        field("heads", INT, "query heads per layer"),
        field("kv_heads", INT, "KV heads per layer"),
        field("head_dim", INT, "channels per head"),
        field("hidden", INT, "channels of the residual stream"),
        field("intermediate", INT, "channels inside the MLP"),
        field("vocabulary", INT, "rows of the embedding"),
        field("kv_bytes_per_tok", INT, "K and V of one token in all layers, 2 bytes a number", "bytes per token"),
    ]
)

FRONTIER = pa.schema(
    [
        field("model", TEXT, "model as named in the config"),
        field("length_tok", INT, "prompt length asked for", "tokens"),
        *CONFIGURATION,
        field("tasks", TEXT, "tasks averaged, comma-separated"),
        field("n_tasks", INT, "tasks averaged", "tasks"),
        field("n", INT, "samples behind the average", "samples"),
        field("accuracy", FLOAT, "mean over tasks of the mean score"),
        *interval("accuracy", "mean over tasks"),
        *DENSITY,
        *COST,
        maybe("difference", FLOAT, "mean over tasks of the paired difference to dense"),
        *interval("difference", "mean paired difference to dense"),
        maybe("kept", FLOAT, "accuracy as a share of dense over the same tasks"),
        *interval("kept", "share kept, dense taken as known"),
        field("complete", BOOL, "has every task that any model has at this length and phase; others are no member"),
        field("model_complete", BOOL, "has every task that its model has there; others are no model_member"),
        field("member", BOOL, "in the Pareto set of all models: no configuration is both cheaper and as accurate"),
        field("member_probability", FLOAT, "share of bootstrap draws of the samples in which it is a member"),
        field("model_member", BOOL, "in the Pareto set of its own model"),
        field("model_member_probability", FLOAT, "share of bootstrap draws in which it is a member there"),
    ]
)

ISO_COST = pa.schema(
    [
        field(
            "kind",
            TEXT,
            "sizes: a sparse model against a smaller one, dense or at the same method; methods: two of one model",
        ),
        field("length_tok", INT, "prompt length asked for", "tokens"),
        field("phase", TEXT, "prefill, decode or both: where attention is sparse"),
        *(
            column
            for side, who in (("a", "the first configuration"), ("b", "the second configuration"))
            for column in (
                field(f"model_{side}", TEXT, f"model of {who}"),
                field(f"method_{side}", TEXT, f"method of {who}"),
                field(f"sparsity_{side}", FLOAT, f"target sparsity of {who}"),
                field(
                    f"cost_{side}", FLOAT, f"what is equal, of {who}: sizes the whole model's cost, methods attention's"
                ),
                field(f"accuracy_{side}", FLOAT, f"mean over tasks of the mean score of {who}"),
            )
        ),
        field("cost_unit", TEXT, "unit of both costs"),
        field("tasks", TEXT, "tasks averaged, comma-separated"),
        field("n_tasks", INT, "tasks averaged", "tasks"),
        field("n", INT, "pairs of samples; unpaired: samples of the side that has fewer", "samples"),
        field("paired", BOOL, "both answered the same samples: models of one tokenizer"),
        field("difference", FLOAT, "mean over tasks of a minus b"),
        *interval("difference", "difference"),
        maybe("p", FLOAT, "paired permutation test over all tasks, two-sided; not made where unpaired"),
        maybe("p_holm", FLOAT, "p adjusted by Holm over the lines of this kind"),
        field("winner", TEXT, "a, b, or undecided: the interval holds 0"),
    ]
)

COST_CHECK = pa.schema(
    [
        field("kind", TEXT, "attention: one layer's; generation: a whole model"),
        field("device", TEXT, "name of the GPU, or of the processor with its threads"),
        field("model", TEXT, "the model's label; attention: its shape, as H32 G8 D128"),
        field("phase", TEXT, "prefill or decode"),
        field("method", TEXT, "method as named in the config"),
        field("length_tok", INT, "prompt length", "tokens"),
        field("sparsity", FLOAT, "target share of attention skipped"),
        field("density", FLOAT, "measured share of attention computed (prefill) or of prompt KV read (decode)"),
        field("cache", TEXT, "shared or compacted (evicted KV entries freed)"),
        field("cost", FLOAT, "by the cost model: FLOP of the prompt (prefill), bytes of a token (decode)"),
        field("cost_share", FLOAT, "cost over dense's by the cost model"),
        field("time_ms", FLOAT, "measured", "ms"),
        field("time_share", FLOAT, "time over that of the fastest dense backend in the same run"),
        field("excess", FLOAT, "time_share over cost_share: 1 where the clock agrees with the cost model"),
    ]
)
