"""One finished study, and copies of it to change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflow.study import Study


@pytest.fixture(scope="session")
def finished(tiny_llama_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Run to the end once; to be looked at and copied, not changed."""
    study = Study.of(tmp_path_factory.mktemp("workflow") / "finished", tiny_llama_dir)
    study.run()
    return study


@pytest.fixture
def study(finished: Study, tmp_path: Path) -> Study:
    """A copy of the finished study."""
    return finished.copy_to(tmp_path / "study")
