"""Another workflow may use this one as a module, with a config of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from tests.workflow.study import ROOT, Study

OUTER = """
configfile: "outer.yaml"

module sparsebench:
    snakefile: "{root}/Snakefile"
    config: config["sparsebench"]

use rule * from sparsebench as sparsebench_*

rule outer:
    input: "results/samples/tiny/niah/384.arrow"
    output: "outer.txt"
    default_target: True
    shell: "echo {{input}} $SPARSEBENCH_SOURCE/resources/sources.tsv > {{output}}"
"""


def test_a_workflow_uses_this_one_as_a_module(tiny_llama_dir: Path, warm: Path, tmp_path: Path) -> None:
    study = Study.of(tmp_path, tiny_llama_dir, warm)
    (tmp_path / "Snakefile").write_text(OUTER.format(root=ROOT))
    (tmp_path / "outer.yaml").write_text(yaml.safe_dump({"sparsebench": study.config, "other": 1}))
    command = [str(warm / "snakemake"), "--cores", "2"]
    done = subprocess.run(command, cwd=tmp_path, env=study.environment(), capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert "sparsebench_synthesise_task" in done.stderr
    samples, sources = (tmp_path / "outer.txt").read_text().split()
    assert (tmp_path / samples).is_file() and sources == str(ROOT / "resources/sources.tsv")
