import ast
import os
from shlex import quote

from snakemake.exceptions import WorkflowError

from sparsebench.charts.registry import chart_file, chart_names
from sparsebench.config import LABEL, parse_config
from sparsebench.errors import UserError
from sparsebench.grid import Grid, Key
from sparsebench.stats.derived import INPUTS
from sparsebench.tasks.registry import load_task, task_digest

try:
    GRID = Grid(parse_config(config, "the config"))
except UserError as mistakes:
    raise WorkflowError(str(mistakes)) from None

# This checkout, for jobs: no parameter of theirs, so moving it recomputes nothing.
os.environ.update(SPARSEBENCH_SOURCE=workflow.basedir)

CHARTS = chart_names()
TABLES = ["predictions", "scores", "models", *INPUTS]
CONFIG_JSON = GRID.config.model_dump_json(by_alias=True, exclude_none=True)

# Said once: jobs on a cluster read this file again.
if workflow.is_main_process:
    for item in GRID.dropped:
        logger.warning(
            f"dropped {item.key.model} / {item.key.prefill} / {item.key.task} / {item.key.length}: {item.reason}"
        )


wildcard_constraints:
    model=LABEL,
    tokenizer=LABEL,
    prefill=LABEL,
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


def samples_of(wildcards):
    """The samples that a cell's model answers: those of its tokenizer."""
    tokenizer = GRID.tokenizer(wildcards.model)
    return f"results/samples/{tokenizer}/{wildcards.task}/{wildcards.length}.arrow"


def cell_tables(kind):
    """The tables of one kind of all cells."""
    return [
        f"results/{kind}/{c.model}/{c.prefill}/{c.task}/{c.length}.arrow"
        for c in GRID.cells
    ]


def caption_of(chart):
    """What a chart's module says of it, read without importing any drawing."""
    for node in ast.parse(chart_file(chart).read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "CAPTION":
            return ast.literal_eval(node.value)
    raise WorkflowError(f"{chart_file(chart)} states no CAPTION")
