"""One cluster for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workflow.slurm.cluster import PACKAGES, Cluster, missing


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four nodes; skipped where SLURM is not installed, unless REQUIRE_SLURM is set."""
    if lacks := missing():
        why = f"no SLURM here ({', '.join(lacks)} not found); on Debian: apt-get install {PACKAGES}"
        if os.environ.get("REQUIRE_SLURM"):
            pytest.fail(why)
        pytest.skip(why)
    cluster = Cluster(Path(tmp_path_factory.mktemp("slurm")) / "lab")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
