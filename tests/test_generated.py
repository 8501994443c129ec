"""What `make schema` writes is what the project holds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
WRITTEN = ("workflow/schemas/config.schema.json", "docs/tables.md", "docs/methods.md", "workflow/envs/sparsebench.yaml")


def test_make_schema_changes_nothing(tmp_path: Path) -> None:
    for name in ("Makefile", "constraints.txt", *WRITTEN):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # the environment of these tests takes the place of .venv
    subprocess.run(
        ["make", "--assume-old=.venv/ready", "schema"], cwd=tmp_path, env=os.environ | {"PATH": path}, check=True
    )
    for name in WRITTEN:
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), f"{name}: run `make schema`"
