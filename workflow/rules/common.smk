import os
from pathlib import Path
from shlex import quote

from snakemake.exceptions import WorkflowError

from sparsebench.charts.registry import chart_constant, chart_file, chart_names
from sparsebench.config import parse_config, refuse_repeated_keys
from sparsebench.entries import LABEL
from sparsebench.errors import UserError
from sparsebench.grid import Grid, Key
from sparsebench.jobsize import memory_mb, runtime_min, scoring_min, synthesis_min
from sparsebench.models.info import read_info
from sparsebench.source import PACKAGE, bytes_digest
from sparsebench.spec import Room
from sparsebench.stats.derived import INPUTS
from sparsebench.tasks.registry import load_task, task_digest

try:
    # Snakemake reads them too, but says nothing of a key that stands twice.
    if workflow.is_main_process:
        for file in workflow.overwrite_configfiles or workflow.configfiles:
            refuse_repeated_keys(Path(file))
    GRID = Grid(
        parse_config(config, "the config", checked=not workflow.is_main_process)
    )
    if not GRID.cells:
        raise UserError(
            "\n".join(["the config has no cell to compute:", *GRID.lines()])
        )
except UserError as mistakes:
    raise WorkflowError(str(mistakes)) from None

# This checkout, where another workflow uses it as a module too. Jobs find it in their environment: it is no parameter
# of theirs, so moving it recomputes nothing.
SOURCE = Path(str(workflow.current_basedir)).parents[1]
if not SOURCE.is_dir():
    raise WorkflowError(
        f"module sparsebench: {SOURCE}; allowed: the Snakefile of a local clone, which jobs read resources from"
    )
os.environ.update(SPARSEBENCH_SOURCE=str(SOURCE))

CHARTS = chart_names()
TABLES = ["predictions", "scores", "models", "measurements", *INPUTS]
# Measurements of devices that ship with the project.
MEASURED = sorted(SOURCE.glob("resources/measurements/*.csv"))
CONFIG_JSON = GRID.config.model_dump_json(by_alias=True, exclude_none=True)

# Said once: jobs on a cluster read this file again.
if workflow.is_main_process:
    for item in GRID.dropped:
        logger.warning(
            f"dropped {item.key.model} / {item.key.prefill} / {item.key.task} / {item.key.length}: {item.reason}"
        )


# Small jobs that travel in one submission run one after the other; see slurm/config.yaml.
resource_scopes:
    bundled="local",


wildcard_constraints:
    model=LABEL,
    tokenizer=LABEL,
    prefill=LABEL,
    method=LABEL,
    task=LABEL,
    length=r"[0-9]+",
    chart=r"[a-z0-9_]+",
    corpus=r"[a-z0-9_]+",
    derived="|".join(INPUTS),


def key_of(wildcards):
    """The cell that a job's wildcards name."""
    return Key(
        wildcards.model, wildcards.prefill, wildcards.task, int(wildcards.length)
    )


def size_of(wildcards, input, estimate, *more):
    """An estimate for a cell's job, from what is known of its model once it is fetched."""
    os.stat(
        input.model
    )  # what is raised where it is missing tells Snakemake to ask again later
    info = read_info(Path(input.model).parent)
    gpus = GRID.config.models[wildcards.model].gpus
    return estimate(GRID.cell(key_of(wildcards)), info, gpus, *more)


def samples_of(wildcards):
    """The samples that a cell's model answers: those of its tokenizer."""
    tokenizer = GRID.tokenizer(wildcards.model)
    return f"results/samples/{tokenizer}/{wildcards.task}/{wildcards.length}.arrow"


def local_copy(wildcards):
    """The file that the config names instead of the network; none for the small corpus that ships."""
    given = GRID.config.corpora.get(wildcards.corpus, "shipped")
    return [] if given == "shipped" else Path(given).expanduser()


def cell_tables(kind):
    """The tables of one kind of all cells."""
    return [
        f"results/{kind}/{c.model}/{c.prefill}/{c.task}/{c.length}.arrow"
        for c in GRID.cells
    ]


def tables_of(chart):
    """The tables of this run that a chart reads: accuracy and frontier, which every chart is given, and its own."""
    needed = {"accuracy", "frontier", *chart_constant(chart, "NEEDS")}
    return [f"results/tables/{table}.arrow" for table in TABLES if table in needed]


MEASURE = GRID.config.measure


def measurement_tables():
    """All tables of measurements that the config asks for."""
    found = []
    if MEASURE.attention is not None:
        found += expand(
            "results/measurements/attention/{method}/{length}.arrow",
            method=GRID.measured(),
            length=MEASURE.attention.lengths,
        )
    if MEASURE.generation is not None:
        models = [*MEASURE.generation.models, *MEASURE.generation.random_weights]
        found += expand(
            "results/measurements/generation/{model}/{method}/{length}.arrow",
            model=models,
            method=GRID.measured(),
            length=MEASURE.generation.lengths,
        )
        if MEASURE.generation.fanout_tok is not None:
            found += expand(
                "results/measurements/fanout/{model}/{length}.arrow",
                model=models,
                length=MEASURE.generation.lengths,
            )
    return found


def sweeps_of(*labels):
    """Methods with their sparsities, as `measure` takes them."""
    return " ".join(
        f"--sweep {quote(sweep.model_dump_json())}"
        for sweep in GRID.measured_sweeps(labels)
    )


def weights_of(wildcards):
    """What a measured model is made from: a fetched model, or a config to fill."""
    made = MEASURE.generation.random_weights.get(wildcards.model)
    return made or f"results/models/{wildcards.model}/model.json"


def weights_flag(wildcards):
    """How `measure` is told of it."""
    made = wildcards.model in MEASURE.generation.random_weights
    return "--random-weights" if made else "--model"
