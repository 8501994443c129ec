"""What the Snakemake workflow catalog documents of the workflows that it lists, held against this one."""

from __future__ import annotations

import re

import yaml

from tests.workflow.study import ROOT

# https://snakemake.github.io/snakemake-workflow-catalog/docs/about/adding_workflows.html
DEPLOYMENTS = {"conda", "apptainer", "apptainer+conda"}


def test_the_catalog_finds_what_it_looks_for() -> None:
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    assert all(isinstance(text, str) for text in usage["mandatory-flags"].values())
    deployments = usage["software-stack-deployment"]
    assert set(deployments) <= DEPLOYMENTS and all(value is True for value in deployments.values())
    assert {"snakemake", "workflow"} <= set(re.findall(r"\w+", (ROOT / "README.md").read_text().lower()))
    assert (ROOT / "Snakefile").is_file() and (ROOT / "config/README.md").is_file()
    rules = sorted((ROOT / "workflow/rules").glob("*.smk"))
    assert rules
    # a report, and a conda environment for every rule, as the file says
    assert (ROOT / "Snakefile").read_text().count("\nreport:") == usage["report"]
    for file in rules:
        named = re.findall(r'^    conda:\n        "(.+)"$', file.read_text(), re.M)
        assert len(named) == len(re.findall(r"^rule ", file.read_text(), re.M)), file
        assert all((file.parent / name).is_file() for name in named), file
