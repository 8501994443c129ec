"""Tables of what is kept and lost: accuracy, effects, tolerance, depth."""

from __future__ import annotations

import pyarrow as pa

from sparsebench.tables.configurations import CONFIGURATION, COST, DENSITY, METHOD, PLACE
from sparsebench.tables.fields import BOOL, FLOAT, INT, TEXT, field, interval, maybe

ACCURACY = pa.schema(
    [
        *PLACE,
        *CONFIGURATION,
        field("metric", TEXT, "name of the task's metric"),
        field("n", INT, "samples scored", "samples"),
        field("n_missing", INT, "samples that other configurations of this task have and this one lacks", "samples"),
        field("accuracy", FLOAT, "mean score"),
        *interval("accuracy", "mean score"),
        *DENSITY,
        *COST,
        field("generated_tok", FLOAT, "mean generated tokens", "tokens"),
        field("parse_failed", FLOAT, "share of samples in whose text no answer could be found"),
        field("chance", FLOAT, "mean score of a guesser over these samples"),
        field("signal", BOOL, "the dense score's interval lies clearly above chance"),
        field("n_pairs", INT, "samples that this configuration and dense share", "samples"),
        maybe("dense_accuracy", FLOAT, "mean dense score over the pairs"),
        maybe("difference", FLOAT, "mean of sparse minus dense over the pairs"),
        *interval("difference", "paired difference to dense"),
        maybe("kept", FLOAT, "accuracy as a share of dense over the pairs"),
        *interval("kept", "share kept, dense taken as known"),
        maybe("oracle_gap", FLOAT, "mean of the score minus the oracle's at the same phase and sparsity"),
        *interval("oracle_gap", "paired difference to the oracle"),
        field("samples", pa.list_(INT), "indices of the samples scored, ascending"),
        field("scores", pa.list_(FLOAT), "their scores, in the order of samples"),
    ]
)

EFFECTS = pa.schema(
    [
        *PLACE,
        *CONFIGURATION,
        field("signal", BOOL, "the dense score's interval lies clearly above chance"),
        field("n_pairs", INT, "samples that this configuration and dense share", "samples"),
        field("difference", FLOAT, "mean of sparse minus dense over the pairs"),
        *interval("difference", "paired difference to dense"),
        field("lost", FLOAT, "share of pairs in which sparse scores less"),
        field("won", FLOAT, "share of pairs in which sparse scores more"),
        maybe("effect_size", FLOAT, "mean difference in standard deviations of the differences (Cohen's d_z)"),
        field("p", FLOAT, "paired permutation test, two-sided: the difference under random signs is as large"),
        maybe("p_holm", FLOAT, "p adjusted by Holm over the model's configurations, tasks and lengths with signal"),
    ]
)

TOLERANCE = pa.schema(
    [
        *PLACE,
        *METHOD,
        field("share", FLOAT, "share of dense that must be kept"),
        maybe("tolerance", FLOAT, "highest sparsity up to which the lower end of the share kept stays above share"),
        maybe("kept", FLOAT, "share of dense kept there"),
        *interval("kept", "share kept, dense taken as known"),
        maybe(
            "by_mean", FLOAT, "highest sparsity up to which the share kept itself, not its lower end, is share or more"
        ),
        maybe("next_sparsity", FLOAT, "lowest sparsity run at which it does not hold"),
        field("n", INT, "fewest samples scored at any of its sparsities", "samples"),
        field("worst", BOOL, "the task of this model, length and method that has the lowest by_mean, then tolerance"),
    ]
)

DEPTH = pa.schema(
    [
        *PLACE,
        *CONFIGURATION,
        field("signal", BOOL, "the dense score's interval lies clearly above chance"),
        field("decile", INT, "tenth of the prompt that holds a piece of evidence: 0 the first, 9 the last"),
        field(
            "n",
            INT,
            "samples with evidence there; one with several pieces counts in each decile that has one",
            "samples",
        ),
        field("pieces", FLOAT, "mean pieces of evidence per sample, everywhere in the prompt"),
        field("accuracy", FLOAT, "mean score of these samples"),
        *interval("accuracy", "mean score of these samples"),
        maybe("difference", FLOAT, "mean of sparse minus dense over these samples"),
        *interval("difference", "paired difference to dense"),
    ]
)
