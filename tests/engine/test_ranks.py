"""A model split over two processes gives what it gives on one: tokens, densities, journal; and ends cleanly."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch
import torch.distributed as dist

from sparsebench.engine import chunks, launch, prefill
from sparsebench.engine.generate import Generator
from sparsebench.engine.heads import decode_on, prefill_on
from sparsebench.engine.infer import infer_cell
from sparsebench.engine.launch import started
from sparsebench.engine.load import check_split, load
from sparsebench.engine.ops import load_ops
from sparsebench.engine.ranks import ALONE, Ranks
from sparsebench.engine.rows import Answer, DecodeSetting, Job, PrefillSetting, Question
from sparsebench.errors import UserError
from sparsebench.models.info import describe_folder, read_info, write_info
from sparsebench.spec import CellSpec
from sparsebench.tables import write_table

from .families import FAMILIES, WINDOW, make_model
from .test_generate import CPU, DECODE, PREFILL, _method, _prompt
from .test_infer import _cell, _samples, _sweep

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="ranks on a CPU")

NEW_TOK = 10
SPLIT = [
    "llama",
    "llama-2",
    "qwen2.5-yarn",
    "qwen3",
    "gemma-2",
    "gemma-3",
    "gemma-3-vision",
    "mistral",
    "phi-3",
    "olmo-2",
]
WHOLE_ATTENTION = {"phi-3", "olmo-2"}  # transformers gathers queries and keys: every rank holds all heads
PROMPTS = (_prompt(1, 4 * WINDOW + 5), _prompt(2, 2 * WINDOW))


def _answers(folder: Path, ranks: Ranks) -> tuple[list[list[Answer]], int]:
    """Answers of every method at two budgets, and the query heads that this rank holds."""
    loaded = load(folder, "float32", CPU, ranks=ranks.size)
    loaded.model.generation_config.eos_token_id = loaded.model.config.eos_token_id = None
    loaded.tokenizer.eos_token_id = None
    text = loaded.model.config.get_text_config()
    heads = text.num_attention_heads
    decode = {name: decode_on(_method(name, "decode"), heads, ranks) for name in DECODE}
    settings = tuple(DecodeSetting(decode[name], b) for name in DECODE for b in (0.5, 0.2))
    jobs = [
        Job(Question(ids, NEW_TOK, seed=7), PrefillSetting(prefill_on(_method(name, "prefill"), heads, ranks), 0.5),
            settings if name == "dense" else (DecodeSetting(decode["dense"], 1.0),))
        for name in PREFILL
        for ids in PROMPTS
    ]  # fmt: skip
    answers = Generator(loaded.model, loaded.tokenizer, load_ops("reference", CPU), "shared", ranks).answer(jobs)
    projection = loaded.model.get_decoder().layers[0].self_attn.o_proj.weight
    return answers, heads if not hasattr(projection, "to_local") else projection.to_local().shape[1] // text.head_dim


def _rank(rank: int, port: int, folders: dict[str, Path], output: Path) -> None:
    torch.set_num_threads(1)
    ranks = launch._joined(rank, 2, dist.TCPStore(launch.HOST, port, 2, is_master=False))
    found = {}
    for family, folder in folders.items():
        # one family in chunks, whose threads take turns in the exchanges between ranks
        chunk_tok = 40 if family == "qwen3" else chunks.CHUNK_TOK
        prefill.run_prompt = partial(chunks.run_prompt, chunk_tok=chunk_tok)
        found[family] = _answers(folder, ranks)
    output.with_name(f"{output.name}.{rank}").write_bytes(pickle.dumps(found))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, tokenizer_dir: Path) -> dict[str, Path]:
    found = {}
    for family in SPLIT:
        found[family] = tmp_path_factory.mktemp("split") / family
        shutil.copytree(tokenizer_dir, found[family])
        make_model(family).save_pretrained(found[family])
    return found


@pytest.fixture(scope="module")
def split(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, tuple]]:
    """What each of two ranks answered, by family."""
    output = tmp_path_factory.mktemp("ranks") / "answers"
    store = dist.TCPStore(launch.HOST, 0, 2, is_master=True, wait_for_workers=False)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_rank, args=(rank, store.port, folders, output)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return [pickle.loads(output.with_name(f"{output.name}.{rank}").read_bytes()) for rank in (0, 1)]


@pytest.mark.parametrize("family", SPLIT)
def test_two_ranks_give_the_tokens_and_densities_of_one_for_every_method(family, folders, split) -> None:
    alone, heads = _answers(folders[family], ALONE)
    (first, held), (second, also_held) = split[0][family], split[1][family]
    assert held == also_held == heads // 2
    assert [[a.ids for a in answers] for answers in first] == [[a.ids for a in answers] for answers in alone]
    assert first == second
    for ours, theirs in zip(first, alone, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a.decode_density == pytest.approx(b.decode_density, abs=1e-3)
            assert a.prefill_density == pytest.approx(b.prefill_density, abs=1e-3)
    assert len({a.ids for answers in first for a in answers}) > 3, "methods change nothing"
    assert FAMILIES[family].sparse_layers


@pytest.fixture
def model_dir(folders: dict[str, Path], tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    write_info(describe_folder("tiny", "path", folders["llama"]), tmp_path / "model")
    return tmp_path / "model"


def test_a_cell_on_two_ranks_writes_the_table_and_journal_of_one(model_dir, tmp_path, caplog) -> None:
    samples = _samples(3)
    sweeps = (_sweep("quest", 0.5), _sweep("ada_snapkv", 0.5, 0.8))
    one = infer_cell(_cell(3, *sweeps), model_dir, samples, tmp_path / "one.jsonl")
    before = dict(os.environ)
    with caplog.at_level(logging.INFO, logger="sparsebench"):
        two = infer_cell(_cell(3, *sweeps, ranks=2, batch_rows=4), model_dir, samples, tmp_path / "two.jsonl")
    assert "the model is split over 2 processes" in caplog.text
    assert two.drop_columns("decode_density").equals(one.drop_columns("decode_density"))
    assert two["decode_density"].to_pylist() == pytest.approx(one["decode_density"].to_pylist(), abs=1e-9)
    keys = [[line.split('"')[1] for line in (tmp_path / f"{n}.jsonl").read_text().splitlines()] for n in ("one", "two")]
    assert len(keys[1]) == 12 and sorted(keys[0]) == sorted(keys[1]), "rank 0 alone writes, each row once"
    assert not multiprocessing.active_children() and not dist.is_initialized() and dict(os.environ) == before
    # another number of GPUs recomputes nothing, and starts nothing
    again = infer_cell(_cell(3, *sweeps), model_dir, samples, tmp_path / "two.jsonl")
    assert again.equals(two)


def test_when_a_rank_dies_the_job_ends_and_says_so(model_dir, tmp_path) -> None:
    cell = _cell(1, _sweep("quest", 0.5), ranks=2)

    def kill() -> None:
        time.sleep(0.3)
        [child] = multiprocessing.active_children()
        os.kill(child.pid, signal.SIGKILL)

    with (
        pytest.raises(UserError, match=r"tiny over 2 processes: rank 1 with exit code -9 ended early.*in the journal"),
        started(cell, read_info(model_dir), 200) as worker,
    ):
        threading.Thread(target=kill).start()
        question = Question(_prompt(1, 100), 5)
        while True:
            worker.answer(
                [Job(question, PrefillSetting(worker.prefill, 1.0), (DecodeSetting(worker.decode["dense"], 1.0),))]
            )
    assert not multiprocessing.active_children()


def _infer(cell: CellSpec, model_dir: Path, folder: Path) -> list[str]:
    command = [sys.executable, "-X", "faulthandler", "-m", "sparsebench", "infer", "--cell", cell.model_dump_json()]
    command += ["--model", str(model_dir / "model.json"), "--samples", str(folder / "samples.arrow")]
    return [*command, "--journal", str(folder / "cell.jsonl"), "--output", str(folder / "out.arrow")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["cancelled", "killed"])
def test_when_the_job_is_ended_no_rank_is_left(model_dir, tmp_path, number) -> None:
    write_table(_samples(40, max_new_tok=150), tmp_path / "samples.arrow", {})
    cell = _cell(40, _sweep("oracle", 0.5), ranks=2, batch_rows=2)
    command = _infer(cell, model_dir, tmp_path)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as job:
        assert job.stderr is not None
        for line in job.stderr:
            if "1 of" in line or "2 of" in line:  # rows in the journal, more to come
                break
        else:
            pytest.fail(f"the job ended by itself with {job.wait()}")
        family = psutil.Process(job.pid).children(recursive=True)
        assert family
        job.send_signal(number)
        said = job.stderr.read()
        assert job.wait(timeout=300) == (128 + number if number == signal.SIGTERM else -number), said
        assert not psutil.wait_procs(family, timeout=300)[1]
    assert (tmp_path / "cell.jsonl.lock").exists() == (number == signal.SIGKILL)
    assert len((tmp_path / "cell.jsonl").read_text().splitlines()) >= 2
    assert not (tmp_path / "out.arrow").exists()


def _ranks_of(job: int) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(job).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # ended since
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["cancelled", "ctrl-c"])
def test_when_all_are_told_to_end_while_ranks_start_the_journal_is_free(model_dir, tmp_path, number, code) -> None:
    write_table(_samples(2), tmp_path / "samples.arrow", {})
    command = _infer(_cell(2, _sweep("oracle", 0.5), ranks=2), model_dir, tmp_path)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as job:
        while not _ranks_of(job.pid):
            assert job.poll() is None
            time.sleep(0.01)
        os.killpg(job.pid, number)
        said = job.stderr.read()
        assert job.wait(timeout=300) == code, said
    assert not (tmp_path / "cell.jsonl.lock").exists()


def test_a_number_of_gpus_that_heads_cannot_be_shared_among_is_told_before_loading(model_dir, tmp_path) -> None:
    with pytest.raises(UserError, match=r"models\.tiny\.gpus: 3, and its 2 KV heads .* allowed: 1, 2"):
        infer_cell(_cell(1, ranks=3), model_dir, _samples(1), tmp_path / "journal.jsonl")
    assert not multiprocessing.active_children()


def test_a_family_without_a_plan_is_told(tmp_path) -> None:
    make_model("starcoder-2").config.save_pretrained(tmp_path)
    check_split(tmp_path, "m", 2)
    (tmp_path / "config.json").write_text('{"model_type": "gpt_neo", "num_heads": 2}')
    with pytest.raises(
        UserError, match=r"models\.m\.gpus: 2, and transformers knows no way to split gpt_neo; allowed: 1"
    ):
        check_split(tmp_path, "m", 2)
