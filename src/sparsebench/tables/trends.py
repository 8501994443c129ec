"""Tables of how accuracy and tolerance change with size, length and budget."""

from __future__ import annotations

import pyarrow as pa

from sparsebench.tables.configurations import METHOD, PLACE
from sparsebench.tables.fields import BOOL, FLOAT, INT, TEXT, field, interval, maybe

_FIT = [
    *METHOD,
    field("split", TEXT, "what the fit has not seen: nothing, largest size, or longest length"),
]

SCALING = pa.schema(
    [
        *_FIT,
        field("term", TEXT, "log2 size, log2 length, log2 1/budget, or task NAME: the task's intercept"),
        maybe("coefficient", FLOAT, "change of the log-odds of accuracy per unit of the term"),
        *interval("coefficient", "coefficient"),
        field("n_points", INT, "cells fitted: model, task, length, sparsity"),
        field("n", INT, "rows behind them", "rows"),
        field("error", FLOAT, "root mean square error of accuracy over the cells fitted"),
        field("n_held_out", INT, "cells held out"),
        maybe("held_out_error", FLOAT, "root mean square error of accuracy over the cells held out"),
        maybe("naive_error", FLOAT, "the same error of a guess: each task's mean over the cells fitted"),
        maybe("noise", FLOAT, "the error that samples alone would cause over the cells held out"),
    ]
)

SCALING_POINTS = pa.schema(
    [
        *_FIT,
        *PLACE,
        field("sparsity", FLOAT, "target sparsity of the phase; both phases: that of decode"),
        field("parameters", pa.int64(), "the model's weights in all, embeddings included"),
        field("budget", FLOAT, "measured density of the sparse phase"),
        field("n", INT, "samples scored", "samples"),
        field("observed", FLOAT, "mean score"),
        *interval("observed", "mean score"),
        field("predicted", FLOAT, "accuracy by the fit"),
        field("held_out", BOOL, "not seen by the fit"),
    ]
)

ADAPTIVITY = pa.schema(
    [
        field("model", TEXT, "model as named in the config"),
        field("task", TEXT, "task as named in the config; all: mean over those with signal at every length"),
        *METHOD,
        field("length_tok", INT, "prompt length asked for", "tokens"),
        field("share", FLOAT, "share of dense that must be kept"),
        field("n", INT, "samples behind it, over the tasks", "samples"),
        field(
            "tolerated",
            FLOAT,
            "sparsity at which the mean share kept falls below share, between those run by log budget; else a bound",
        ),
        *interval("tolerated", "tolerated sparsity"),
        field("bound", TEXT, "exact; at least: holds at all sparsities run; below: holds at none"),
        field("budget_tok", FLOAT, "tokens of the prompt that the tolerated sparsity leaves", "tokens"),
        maybe("kept_same_share", FLOAT, "share kept here at the sparsity tolerated at the shortest length"),
        *interval("kept_same_share", "share kept"),
        maybe("kept_same_tokens", FLOAT, "share kept here at the token budget tolerated at the shortest length"),
        *interval("kept_same_tokens", "share kept"),
        maybe(
            "growth",
            FLOAT,
            "needed tokens grow as length to this power: 0 a fixed budget does, 1 a fixed share is needed",
        ),
        *interval("growth", "growth"),
        field("n_lengths", INT, "lengths behind the growth"),
    ]
)
