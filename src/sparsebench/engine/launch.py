"""Start the processes that share a model, and end them all when one ends.

Rank 0 is the job's own process: it alone plans, writes the journal and gives the answers. The others are its children;
they load their share and compute what rank 0 tells them to. They hold no state worth saving: when any rank ends early,
all do, and the next run goes on from the journal.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
import torch.distributed as dist

from sparsebench.engine.load import check_split
from sparsebench.engine.ranks import Ranks
from sparsebench.engine.worker import Worker
from sparsebench.errors import UserError
from sparsebench.models.info import ModelInfo
from sparsebench.spec import CellSpec

log = logging.getLogger("sparsebench")

HOST = "127.0.0.1"  # one node
PATIENCE = timedelta(hours=2)  # of a rank for another that reads its weights from a slow disk; death is told otherwise
TO_END = (signal.SIGTERM, signal.SIGINT)
UNWIND_S = 30  # from a rank's end to the job's own


@contextmanager
def started(cell: CellSpec, info: ModelInfo, longest_tok: int) -> Iterator[Worker]:
    """The cell's worker, on ``cell.ranks`` processes; they end with the context.

    Told to end (``SystemExit``, ``KeyboardInterrupt``), the other ranks are left as they are and end with this process,
    which must then leave by ``os._exit``: at a usual exit Python would wait for them.
    """
    if cell.ranks == 1:
        yield Worker(cell, info, longest_tok)
        return
    check_split(Path(info.folder), cell.model, cell.ranks)
    before = dict(os.environ)
    store = dist.TCPStore(HOST, 0, cell.ranks, is_master=True, wait_for_workers=False, timeout=PATIENCE)
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=_follow, args=(rank, store.port, cell, info, longest_tok), daemon=True)
        for rank in range(1, cell.ranks)
    ]
    ended = threading.Event()
    told_to_end = False
    try:
        # Sent to all processes of a job, and ranks ignore both as soon as they can: none is to die of one before.
        resource_tracker.ensure_running()  # which lets signals through again when it starts
        signal.pthread_sigmask(signal.SIG_BLOCK, TO_END)
        try:
            for process in others:
                process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, TO_END)
        threading.Thread(target=_watch, args=(others, ended), daemon=True).start()
        worker = Worker(cell, info, longest_tok, _joined(0, cell.ranks, store))
        log.info("the model is split over %d processes", cell.ranks)
        yield worker
        worker.end()
        ended.set()
        for process in others:
            process.join()
    except (SystemExit, KeyboardInterrupt):
        told_to_end = True
        raise
    except RuntimeError as error:  # what a collective raises when its other end is gone
        dead = [f"rank {rank} with exit code {p.exitcode}" for rank, p in enumerate(others, 1) if _has_ended(p)]
        if not dead:
            raise
        raise UserError(
            f"{cell.model} over {cell.ranks} processes: {', '.join(dead)} ended early, its message is above; finished "
            "rows are in the journal"
        ) from error
    finally:
        ended.set()
        if not told_to_end:  # a process group taken down while others are in it may abort the process
            for process in others:
                if process.is_alive():
                    process.kill()
            if dist.is_initialized():
                dist.destroy_process_group()
        os.environ.clear()
        os.environ.update(before)


def _has_ended(process: BaseProcess) -> bool:
    process.join(timeout=1)
    return process.exitcode is not None


def _watch(others: list[BaseProcess], ended: threading.Event) -> None:
    """End the job when another rank has ended and this one waits for it for ever, as in a collective on a GPU."""
    while not ended.is_set():
        if wait([process.sentinel for process in others], timeout=1) and not ended.wait(UNWIND_S):
            log.error("another rank has ended and this one does not come back from waiting for it: the job ends")
            os._exit(1)


def _joined(rank: int, size: int, store: dist.Store) -> Ranks:
    """Take a place in the group; transformers reads the variables."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size))
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(rank)
    else:
        if sys.platform == "linux":
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        torch.set_num_threads(max(1, torch.get_num_threads() // size))
    dist.init_process_group("nccl" if on_gpu else "gloo", store=store, rank=rank, world_size=size, timeout=PATIENCE)
    return Ranks(rank, size)


def _follow(rank: int, port: int, cell: CellSpec, info: ModelInfo, longest_tok: int) -> None:
    """The whole life of a rank other than 0."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    for number in TO_END:
        signal.signal(number, signal.SIG_IGN)  # rank 0 decides
    logging.basicConfig(level=logging.WARNING, format=f"%(asctime)s rank {rank}: %(message)s", datefmt="%H:%M:%S")
    store = dist.TCPStore(HOST, port, cell.ranks, is_master=False, timeout=PATIENCE)
    try:
        Worker(cell, info, longest_tok, _joined(rank, cell.ranks, store)).follow()
    except UserError as error:
        print(f"rank {rank}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    dist.destroy_process_group()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
