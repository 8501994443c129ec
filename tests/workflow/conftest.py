"""One finished study, copies of it to change, and new ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import Once
from tests.workflow.study import Study
from tests.workflow.warm import warm_programs


@pytest.fixture(scope="session")
def warm() -> Iterator[Path]:
    """Snakemake and sparsebench for studies whose runs are many and small."""
    with warm_programs(Study(Path(), {}).environment()) as programs:
        yield programs


@pytest.fixture(scope="session")
def finished(tiny_llama_dir: Path, warm: Path, once: Once) -> Study:
    """Run to the end; to be looked at and copied, not changed."""
    folder = once("finished", lambda folder: Study.of(folder, tiny_llama_dir, warm).run())
    return Study(folder, yaml.safe_load((folder / "config.yaml").read_text()))


@pytest.fixture
def study(finished: Study, warm: Path, tmp_path: Path) -> Study:
    """A copy of the finished study."""
    return finished.copy_to(tmp_path / "study", warm)


@pytest.fixture
def fresh(tiny_llama_dir: Path, warm: Path, tmp_path: Path) -> Study:
    """A study of which nothing has run yet."""
    return Study.of(tmp_path / "study", tiny_llama_dir, warm)
