"""Everything that a cluster does to jobs, done to a real run of a real grid: nothing that was finished is lost."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.feather as feather
import pytest

from tests.workflow.slurm.clone import Clone
from tests.workflow.slurm.cluster import Cluster, is_alive, wait_for
from tests.workflow.slurm.faulty import STOP

SAMPLES = 4
BEFORE = STOP - 1  # rows that a job finishes before it waits for its fault
# What SLURM says of the job that was struck; of a lost node's one of both, or the one after the other.
STRUCK = {
    "cancelled": {"CANCELLED"},
    "preempted": {"PREEMPTED"},
    "late": {"TIMEOUT"},
    "hungry": {"FAILED"},
    "lost": {"NODE_FAIL", "FAILED"},
}
FULL = [0.2, 0.4, 0.6, 0.8]  # prefill sparsities of the cell whose disk is full
OUTAGE_S = 30
# All tables, and two charts for all of them.
TARGETS = ("results/overview.html", "results/charts/pareto.html", "results/charts/accuracy_vs_sparsity.html")


def _config(model: Path) -> dict[str, object]:
    def faulty(gate: str, sparsity: list[float], **params: object) -> dict[str, object]:
        return {"class": "faulty.py:Faulty", "sparsity": sparsity, "params": {"gate": gate, **params}}

    return {
        "samples": SAMPLES,
        "lengths": [512],
        "models": {"tiny": {"path": str(model), "gpus": 0}},
        "tasks": {"niah": {"task": "ruler_niah"}},
        "prefill": {
            **{name: faulty(name, [0.5]) for name in STRUCK},
            "hungry": faulty("hungry", [0.5], eat_mb=4000),
            "full": faulty("full", FULL),
        },
        "decode": {"quest": {"sparsity": [0.5]}},
        "engine": {"batch_rows": 1, "memory_mib": 500, "threads": 1},
    }


class Faults:
    """Strikes each cell's first job, which waits at its third row; lets the next job go on once that one is dead."""

    def __init__(self, clone: Clone) -> None:
        self.clone, self.cluster = clone, clone.cluster
        self.gates = clone.folder / "gates"
        self.gates.mkdir()
        self.struck: dict[str, str] = {}  # job by cell
        self.requeued: dict[str, float] = {}  # since when they wait
        self.outage: float | None = None

    def open(self, cell: str) -> None:
        (self.gates / cell).touch()

    def started(self, cell: str) -> list[int]:
        """For each row that was started, the process."""
        file = self.gates / f"{cell}.started"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def _strike(self, cell: str, job: str) -> None:
        if cell == "cancelled":
            self.cluster.call("scancel", job)
        elif cell == "preempted":
            self.cluster.call("sbatch", "-p", "urgent", "-w", "n3", "--exclusive", "-o", "/dev/null", "--wrap", "true")
        elif cell == "lost":
            self.cluster.kill_node("n4")
            self.cluster.start_node("n4")
        # the job that is late and the one that eats too much are struck by SLURM itself

    def look(self) -> None:
        """Called again and again while the run goes on."""
        for cell in STRUCK:
            if cell not in self.struck and len(self.started(cell)) == STOP:
                assert self.clone.lines(f"tiny/{cell}/niah/512") == BEFORE
                self.struck[cell] = self.clone.jobs_of(f"tiny_{cell}_niah_512")[0]
                self._strike(cell, self.struck[cell])
        for cell, job in self.struck.items():
            if not (self.gates / cell).exists() and any(f"JobId={job} " in line for line in self.cluster.ended()):
                _bury(self.started(cell)[0])
                self.open(cell)
        now, waiting = time.monotonic(), self.cluster.requeued()
        self.requeued = {job: self.requeued.get(job, now) for job in waiting}
        for job, since in self.requeued.items():
            # SLURM itself lets them wait two minutes; a node refuses a job whose credential it revoked this very second
            if now > since + 3:
                self.cluster.call("scontrol", "update", f"jobid={job}", "starttime=now")
        if self.struck and self.outage is None:
            self.outage = time.monotonic()
            self.cluster.refuse_status(True)
        elif self.outage is not None and time.monotonic() > self.outage + OUTAGE_S and len(self.cluster.refused()) > 5:
            self.cluster.refuse_status(False)


def _bury(process: int) -> None:
    """End what SLURM left of a job that is over; it does so itself where it has cgroups."""
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(process).kill()
    wait_for(f"process {process} has ended", lambda: not is_alive(process), 60)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the journal of one cell will lie: a disk that is full after its lock and one page of 4 KiB."""
    disk = tmp_path_factory.mktemp("cluster") / "clone/results/journal/tiny/full/niah"
    yield disk
    subprocess.run(["umount", str(disk)], capture_output=True)


@pytest.fixture(scope="module")
def faults(cluster: Cluster, tiny_llama_dir: Path, disk: Path) -> Iterator[Faults]:
    """The first run, with all its faults, to its end; nothing is lost whatever test looks at it first."""
    clone = Clone(disk.parents[4], cluster)
    shutil.copy(Path(__file__).parent / "faulty.py", clone.folder)
    clone.edit_config(_config(tiny_llama_dir))
    clone.edit_profile(
        {
            "retries": 1,  # enough for each of them
            "set-resources": {
                "infer_cell": {
                    "slurm_partition": "{'preempted': 'spare', 'lost': 'frail'}.get(wildcards.prefill, 'work')",
                    "runtime": "attempt if wildcards.prefill == 'late' else 10",
                }
            },
        }
    )
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(disk)], check=True)
    faults = Faults(clone)
    faults.open("full")
    process = clone.start(*TARGETS)
    try:
        until = time.monotonic() + 900
        while process.poll() is None:
            faults.look()
            assert time.monotonic() < until, "the run does not end"
            time.sleep(0.2)
    finally:
        process.kill()
    yield faults
    print(clone.said())


@pytest.fixture
def clone(faults: Faults) -> Clone:
    return faults.clone


def _ends(clone: Clone, cell: str, what: str) -> list[str]:
    """One value of each end of a cell's jobs in SLURM's accounting file."""
    jobs = clone.jobs_of(f"tiny_{cell}_niah_512")
    ended = [dict(part.split("=", 1) for part in line.split() if "=" in part) for line in clone.cluster.ended()]
    return [end[what] for end in ended if end["JobId"] in jobs]


def test_all_but_one_cell_are_done_after_one_command(clone: Clone) -> None:
    done = {file.parts[-3] for file in (clone.folder / "results/predictions/tiny").glob("*/niah/512.arrow")}
    assert done == {"dense", *STRUCK}


@pytest.mark.parametrize("cell", STRUCK)
def test_a_fault_costs_the_row_in_flight(faults: Faults, clone: Clone, cell: str) -> None:
    *ends, last = _ends(clone, cell, "JobState")
    assert ends and set(ends) <= STRUCK[cell] and last == "COMPLETED"
    assert clone.counts(f"tiny/{cell}/niah/512") == (SAMPLES - BEFORE, BEFORE)
    assert len(faults.started(cell)) == SAMPLES + 1  # one row was computed twice: that in flight
    assert clone.lines(f"tiny/{cell}/niah/512") == SAMPLES


def test_a_hungry_job_got_more_memory_and_a_late_one_more_time(clone: Clone) -> None:
    first, second = (int(re.search(r"mem=(\d+)M", asked)[1]) for asked in _ends(clone, "hungry", "Tres"))
    assert second == 2 * first
    assert _ends(clone, "late", "TimeLimit") == ["1", "2"]


def test_the_status_command_failed_for_half_a_minute(faults: Faults, cluster: Cluster) -> None:
    assert faults.outage is not None
    # five failures in one cycle are what the plugin's own default gives up after, without a word
    assert len(cluster.refused()) > 5


def test_a_full_disk_is_told_and_keeps_what_it_holds(faults: Faults, clone: Clone, disk: Path) -> None:
    lines = clone.lines("tiny/full/niah/512")
    assert 4 < lines < len(FULL) * SAMPLES
    assert _ends(clone, "full", "JobState") == ["FAILED", "FAILED"]
    assert len(faults.started("full")) == lines + 2  # that which could not be written, by each of the two jobs
    assert f"No space left on device); the {lines} rows in it are safe" in clone.log("tiny/full/niah/512")
    assert (disk / "512.jsonl").read_bytes().endswith(b"\n")
    assert list(disk.iterdir()) == [disk / "512.jsonl"]


def test_a_killed_snakemake_is_taken_up_while_its_jobs_still_run(faults: Faults, clone: Clone, disk: Path) -> None:
    cell, rows = "tiny/full/niah/512", len(FULL) * SAMPLES
    before, started = clone.lines(cell), len(faults.started("full"))
    subprocess.run(["mount", "-o", "remount,size=1m", str(disk)], check=True)
    (faults.gates / "full").unlink()
    first = clone.start(*TARGETS)
    wait_for("its job waits at a row", lambda: len(faults.started("full")) == started + STOP, 400)
    first.send_signal(signal.SIGKILL)
    first.wait()
    orphan = clone.jobs_of("tiny_full_niah_512")[-1]
    assert clone.run("--unlock") == 0

    second = clone.start(*TARGETS)
    try:
        held = f"SLURM job {orphan}, which showed life"
        wait_for("its job waits for that of the first", lambda: held in clone.log(cell), 400)
        assert clone.lines(cell) == before + BEFORE
        faults.open("full")
        assert second.wait(600) == 0, clone.said()
    finally:
        second.kill()
    assert clone.counts(cell) == (0, rows)
    assert clone.lines(cell) == rows
    assert len(faults.started("full")) == started + rows - before  # each row once
    assert clone.cluster.jobs()[orphan] == "COMPLETED"


def test_the_whole_grid_is_there_at_last(clone: Clone) -> None:
    scores = feather.read_table(clone.folder / "results/tables/scores.arrow")
    assert scores.num_rows == SAMPLES * (2 + len(STRUCK) + len(FULL))
    total = re.search(r"^total +(\d+)$", clone.said(), re.M)
    assert total and int(total[1]) >= 30
    assert all((clone.folder / target).exists() for target in TARGETS)
    assert len(clone.submitted("samples_synthesise_task")) == len(clone.submitted("scores_score_cell")) == 1
    assert clone.run("-n", *TARGETS) == 0
    assert "Nothing to be done" in clone.said()[-2000:]
