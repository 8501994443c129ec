"""sparsebench: what training-free sparse attention costs and what it loses."""

from snakemake.utils import min_version

min_version("9.10")


# A config named on the command line is the whole study: laid over the demo, it would run the demo's tasks too.
if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/fetch.smk"
include: "workflow/rules/synthesise.smk"
include: "workflow/rules/infer.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/tabulate.smk"
include: "workflow/rules/chart.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/train.smk"


rule all:
    default_target: True
    input:
        "results/overview.html",
        expand("results/charts/{chart}.html", chart=CHARTS),
        expand("results/tables/{table}.arrow", table=TABLES),
