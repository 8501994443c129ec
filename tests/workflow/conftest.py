"""One finished study, and copies of it to change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from tests.workflow.study import Study


@pytest.fixture(scope="session")
def finished(tiny_llama_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Run to the end once, by one of the processes of a test run; to be looked at and copied, not changed."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "finished"
    with FileLock(f"{folder}.lock"):
        if (folder / "ran").exists():
            return Study(folder, yaml.safe_load((folder / "config.yaml").read_text()))
        study = Study.of(folder, tiny_llama_dir)
        study.run()
        (folder / "ran").touch()
    return study


@pytest.fixture
def study(finished: Study, tmp_path: Path) -> Study:
    """A copy of the finished study."""
    return finished.copy_to(tmp_path / "study")
