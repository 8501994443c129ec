"""Everything that a cluster does to jobs, done to a real run of a real grid: nothing that was finished is lost."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.feather as feather
import pytest

from tests.workflow.slurm.clone import Clone
from tests.workflow.slurm.cluster import Cluster, wait_for

SAMPLES = 6
FAULTS = ("cancelled", "preempted", "late", "hungry", "lost", "full")


def _config(model: Path) -> dict[str, object]:
    def faulty(**params: object) -> dict[str, object]:
        return {"class": "faulty.py:Faulty", "sparsity": [0.5], "params": params}

    return {
        "samples": SAMPLES,
        "lengths": [512],
        "models": {"tiny": {"path": str(model), "gpus": 0}},
        "tasks": {"niah": {"task": "ruler_niah"}},
        "prefill": {
            "cancelled": faulty(pause=2),
            "preempted": faulty(pause=2),
            # SLURM ends jobs of one minute after 60 to 90 s; six prompts take longer than that
            "late": faulty(pause=14),
            "hungry": faulty(eat_mb=6000),
            "lost": faulty(pause=2),
            "full": faulty(pause=0.2) | {"sparsity": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]},
        },
        "decode": {"quest": {"sparsity": [0.5]}},
        "engine": {"batch_rows": 1, "memory_mib": 500, "threads": 1},
    }


class Faults:
    """Strikes each cell once, when its job has finished two rows."""

    def __init__(self, clone: Clone) -> None:
        self.clone, self.cluster = clone, clone.cluster
        self.before: dict[str, int] = {}
        self.outage: tuple[float, int] | None = None
        self.revived = False

    def _job(self, prefill: str) -> str | None:
        """The running job of a cell, once two of its rows are finished."""
        if prefill in self.before or self.clone.lines(f"tiny/{prefill}/niah/512") < 2:
            return None
        return self.clone.jobs_of(f"tiny_{prefill}_niah_512")[-1]

    def _strike(self, prefill: str) -> None:
        self.before[prefill] = self.clone.lines(f"tiny/{prefill}/niah/512")

    def look(self) -> None:
        """Called again and again while the run goes on."""
        if job := self._job("cancelled"):
            self._strike("cancelled")
            self.cluster.call("scancel", job)
        if self._job("preempted"):
            self._strike("preempted")
            self.cluster.call(
                "sbatch", "-p", "urgent", "-w", "n3", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 1"
            )
        if self._job("lost"):
            self._strike("lost")
            self.cluster.kill_node("n4")
        if "lost" in self.before and not self.revived:
            self.cluster.start_node("n4")
            self.revived = True
        for job in self.cluster.requeued():  # SLURM itself lets them wait two minutes
            self.cluster.call("scontrol", "update", f"jobid={job}", "starttime=now")
        if len(self.before) == 3 and self.outage is None:
            self.outage = time.monotonic(), len(self.cluster.refused())
            self.cluster.refuse_status(True)
        elif self.outage is not None and time.monotonic() > self.outage[0] + 30 and len(self.cluster.refused()) > 5:
            self.cluster.refuse_status(False)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the journal of one cell will lie: a disk that is full after its lock and two pages of 4 KiB."""
    disk = tmp_path_factory.mktemp("cluster") / "clone/results/journal/tiny/full/niah"
    yield disk
    subprocess.run(["umount", str(disk)], capture_output=True)


@pytest.fixture(scope="module")
def struck(cluster: Cluster, tiny_llama_dir: Path, disk: Path) -> Iterator[tuple[Clone, Faults]]:
    """The first run, with all its faults, to its end; nothing is lost whatever test looks at it first."""
    clone = Clone(disk.parents[4], cluster)
    shutil.copy(Path(__file__).parent / "faulty.py", clone.folder)
    clone.edit_config(_config(tiny_llama_dir))
    clone.edit_profile(
        {
            "set-resources": {
                "infer_cell": {
                    "slurm_partition": "{'preempted': 'spare', 'lost': 'frail'}.get(wildcards.prefill, 'work')",
                    "runtime": "attempt if wildcards.prefill == 'late' else 10",
                }
            }
        }
    )
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12k", "tmpfs", str(disk)], check=True)
    faults = Faults(clone)
    process = clone.start()
    try:
        until = time.monotonic() + 420
        while process.poll() is None:
            faults.look()
            assert time.monotonic() < until, "the run does not end"
            time.sleep(0.2)
    finally:
        process.kill()
    yield clone, faults
    print(clone.said())


def _ends(cluster: Cluster, clone: Clone, prefill: str) -> list[str]:
    """How each job of a cell ended, in SLURM's words, by its accounting file."""
    jobs = clone.jobs_of(f"tiny_{prefill}_niah_512")
    ended = [dict(part.split("=", 1) for part in line.split() if "=" in part) for line in cluster.ended()]
    return [end["JobState"] for end in ended if end["JobId"] in jobs]


def test_all_but_one_cell_are_done_after_one_command(struck: tuple[Clone, Faults]) -> None:
    clone, _ = struck
    total = re.search(r"^total +(\d+)$", clone.said(), re.M)
    assert total and int(total[1]) >= 30
    done = {file.parts[-3] for file in (clone.folder / "results/predictions/tiny").glob("*/niah/512.arrow")}
    assert done == {"dense", *FAULTS} - {"full"}


@pytest.mark.parametrize(
    ("prefill", "end"),
    [
        ("cancelled", {"CANCELLED"}),
        ("preempted", {"PREEMPTED"}),
        ("late", {"TIMEOUT"}),
        ("hungry", {"FAILED"}),
        ("lost", {"NODE_FAIL", "FAILED"}),  # by what the controller hears of first
    ],
)
def test_a_fault_costs_the_row_in_flight(
    struck: tuple[Clone, Faults], cluster: Cluster, prefill: str, end: set[str]
) -> None:
    clone, faults = struck
    *ends, last = _ends(cluster, clone, prefill)
    assert end & set(ends) and last == "COMPLETED"
    cell = f"tiny/{prefill}/niah/512"
    computed, reused = clone.counts(cell)
    assert computed + reused == SAMPLES
    # those of the harness strike after two rows; the other two strike by themselves
    assert reused >= faults.before.get(prefill, 2) >= 2
    assert clone.lines(cell) == SAMPLES  # no row was computed twice


def test_a_hungry_job_got_more_memory(struck: tuple[Clone, Faults], cluster: Cluster) -> None:
    clone, _ = struck
    asked = [re.search(r"mem=(\d+)M", line)[1] for job in clone.jobs_of("tiny_hungry_niah_512")
             for line in cluster.ended() if f"JobId={job} " in line]  # fmt: skip
    assert int(asked[1]) == 2 * int(asked[0])


def test_the_status_command_failed_for_half_a_minute(struck: tuple[Clone, Faults], cluster: Cluster) -> None:
    _, faults = struck
    assert faults.outage is not None
    # five failures in one cycle are what the plugin's own default gives up after, without a word
    assert len(cluster.refused()) > 5


def test_a_full_disk_is_told_and_keeps_what_it_holds(struck: tuple[Clone, Faults], disk: Path) -> None:
    clone, _ = struck
    lines = clone.lines("tiny/full/niah/512")
    assert 10 < lines < 8 * SAMPLES
    assert f"No space left on device); the {lines} rows in it are safe" in clone.log("tiny/full/niah/512")
    assert (disk / "512.jsonl").read_bytes().endswith(b"\n")
    assert list(disk.iterdir()) == [disk / "512.jsonl"]


def test_a_killed_snakemake_is_taken_up_while_its_jobs_still_run(struck: tuple[Clone, Faults], disk: Path) -> None:
    clone, _ = struck
    cell = "tiny/full/niah/512"
    before = clone.lines(cell)
    subprocess.run(["mount", "-o", "remount,size=1m", str(disk)], check=True)
    first = clone.start()
    wait_for("the job writes rows", lambda: clone.lines(cell) > before, 120)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert clone.run("--unlock") == 0
    assert clone.run() == 0, clone.said()
    assert clone.lines(cell) == 8 * SAMPLES
    computed, reused = clone.counts(cell)
    assert computed + reused == 8 * SAMPLES and reused > before
    # it waited for the job of the first Snakemake, which was still at it, or came after its end
    if computed == 0:
        assert "SLURM job" in clone.log(cell)
    scores = feather.read_table(clone.folder / "results/tables/scores.arrow")
    assert scores.num_rows == SAMPLES * (2 + 5 + 8)
    assert clone.run("-n") == 0
    assert "Nothing to be done" in clone.said()[-2000:]
