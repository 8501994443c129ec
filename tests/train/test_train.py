"""Training: disjoint samples, tokenizer, targets, curriculum, optimizer, resuming, and that the loss falls."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sparsebench.errors import UserError
from sparsebench.tasks.base import Task
from sparsebench.tasks.draw import Draw
from sparsebench.tasks.window import Window
from sparsebench.tasks.words import words
from sparsebench.train.batches import Maker, make_row
from sparsebench.train.card import write_card
from sparsebench.train.ladder import LADDERS, WEIGHTS, Curriculum, Level
from sparsebench.train.loop import Run, train
from sparsebench.train.model import SIZES, build
from sparsebench.train.muon import Muon
from sparsebench.train.objective import loss_and_right
from sparsebench.train.own_words import say_in_own_order
from sparsebench.train.schedule import rate
from sparsebench.train.study import trained_tasks
from sparsebench.train.turns import Turn, facts, first_turn, more_turns, parts_of
from sparsebench.train.vocabulary import Encoder, build_tokenizer, save_tokenizer

CONFIG = Path(__file__).parents[2] / "config/nano.yaml"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Steps this small are slower on two threads, and fifty times slower where another process has a core too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return trained_tasks(CONFIG)


@pytest.fixture(scope="module")
def folder(tasks: dict[str, Task], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(build_tokenizer(tasks), path)
    return path


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Encoder:
    return Encoder(AutoTokenizer.from_pretrained(folder))


@pytest.fixture(scope="module")
def window(encoder: Encoder) -> Window:
    return Window(encoder.tokenizer, 1024)


def asked(name: str, user: str, answers: tuple[str, ...]) -> set[str]:
    """Everything of a sample that an answer depends on."""
    if name == "ruler_niah":
        return set(re.findall(r"[a-z]+-[a-z]+", user))
    if name == "ruler_vt":
        return set(re.findall(r"\b(?:[A-Z]{5}|\d{5})\b", user))
    if name == "ruler_cwe":
        return {" ".join(sorted(answers))}
    return {fact for chapter in facts(user) for fact in chapter.values()}


@pytest.mark.parametrize("name", [name for name in LADDERS if name != "copy"])
def test_training_and_benchmark_share_nothing_that_is_asked_for(
    tasks: dict[str, Task], window: Window, name: str
) -> None:
    found: dict[bool, set[str]] = {False: set(), True: set()}
    for training in found:
        for index in range(60):
            # The same seeds on both sides: it is not the seed that keeps them apart.
            sample = tasks[name].synthesise(Draw(index, index, name, training=training), window)
            found[training] |= asked(name, sample.user, sample.answers)
    assert min(map(len, found.values())) >= 60
    assert not found[True] & found[False]


def test_listed_words_numbers_and_pairs_are_few_tokens(encoder: Encoder) -> None:
    for name in ("adjectives", "adverbs", "nouns", "people", "places", "verbs"):
        assert all(len(encoder(f" {word}")) == 1 for word in words(name))
    assert all(len(encoder(str(number))) == 1 for number in range(1000))
    assert len(encoder(" agile-anchor")) == 2
    assert len(encoder(" QJXWA")) == 3
    assert len(encoder(" Arnalbury")) == len(encoder(" Vikovin")) == 3
    assert 2048 <= len(encoder.tokenizer) <= 4096


def test_any_text_comes_back_exactly(encoder: Encoder) -> None:
    texts = [
        "The road is long.\n\nOn we walk. ",
        "Ünïcødé 東京 🙂 \t tabs",
        "x=1;\r\n  return  'y'",
        "a" * 99,
        " 1,000,000.5% ",
    ]
    for text in texts:
        ids = encoder.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert encoder.tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_rows_are_the_benchmarks_prompt_and_its_chat(tasks: dict[str, Task], window: Window, encoder: Encoder) -> None:
    """Piecewise encoding gives the ids of the tokenizer on the whole conversation; the first turn is the prompt."""
    for name, task in tasks.items():
        draw = Draw(3, 3, name, training=True)
        sample = task.synthesise(draw, window)
        row = make_row(task, Level(1024, 2048), window, Draw(3, 3, name, training=True), encoder)
        prompt = window.encode(sample.user, sample.answer_prefix, (), name).ids
        assert row.ids[: len(prompt)] == prompt
        assert row.targets[0][0] == len(prompt) - 1
        turns = [first_turn(task, sample), *more_turns(task, sample, draw)]
        chat = []
        for turn in turns:
            said = turn.prefix + "".join(text for text, _ in turn.parts)
            chat += [{"role": "user", "content": turn.user}, {"role": "assistant", "content": said}]
        whole = encoder.tokenizer.apply_chat_template(chat, tokenize=True)
        ids = whole if isinstance(whole, list) else whole["input_ids"]
        assert ids[: len(row.ids)] == row.ids
        for position, right, _ in row.targets:
            assert right[0] == row.ids[position + 1]


def test_perfect_answers_of_further_turns_follow_from_the_text(tasks: dict[str, Task], window: Window) -> None:
    """Facts read back from the text agree with those that the task itself asked for."""
    for name in ("story_retrieval", "story_multihop"):
        for index in range(40):
            sample = tasks[name].synthesise(Draw(index, index, name), window)
            told = facts(sample.user)
            known = {value for chapter in told for value in chapter.values()}
            assert set(sample.answers) <= known
            assert len(told) == len(re.findall(r"^Chapter \d+$", sample.user, re.MULTILINE))
            assert all({"town", "person"} <= chapter.keys() for chapter in told)
    sample = tasks["ruler_vt"].synthesise(Draw(1, 1, "vt"), window)
    turns = list(more_turns(tasks["ruler_vt"], sample, Draw(1, 1, "vt")))
    names = [text for turn in turns for text, flag in turn.parts if flag]
    assert len(turns) == 7
    assert len(set(names)) == len(names) == 35
    assert not {f" {name}" for name in sample.answers} & set(names)


def test_every_level_makes_batches_within_its_length(tasks: dict[str, Task], folder: Path) -> None:
    curriculum = Curriculum(WEIGHTS)
    maker = Maker(tasks, curriculum, folder, 1)
    for name, levels in LADDERS.items():
        for index, level in enumerate(levels):
            batch = maker.batch(name, index, Random(1))
            assert batch.ids.shape == (1, level.total_tok)
            used = int(np.flatnonzero(batch.ids[0])[-1]) + 1
            assert used >= min(level.prompt_tok * 0.85, 7000)


def test_answers_in_any_order_count_as_a_set(encoder: Encoder) -> None:
    from sparsebench.train.batches import Row, collate

    row = Row(encoder)
    row.add(Turn("Which?", "They are:", parts_of(" anchor, apple, anvil", ("anchor", "apple", "anvil")), True), 64)
    sets = [{encoder.tokenizer.decode(i) for i in right} for _, right, index in row.targets if index >= 0]
    assert sets == [{" anchor", " apple", " anvil"}, {" apple", " anvil"}, {" anvil"}]
    batch = collate("t", 0, 64, [row], encoder.pad)

    class Says(torch.nn.Module):
        """Puts all probability on given tokens, one per position."""

        def __init__(self, said: list[int]) -> None:
            super().__init__()
            self.said = said
            self.model = lambda input_ids, use_cache: type("O", (), {"last_hidden_state": self.hidden(input_ids)})
            self.lm_head = lambda h: h

        def hidden(self, ids: torch.Tensor) -> torch.Tensor:
            out = torch.zeros(*ids.shape, len(encoder.tokenizer))
            for (position, _, _), token in zip(row.targets, self.said, strict=True):
                out[0, position, token] = 9.0
            return out

    own = [right[0] for _, right, _ in row.targets]
    other_order = [own[2], own[1], own[4], own[3], own[4], own[5]]
    assert loss_and_right(Says(own), batch, torch.device("cpu"))[1] == 1.0  # type: ignore[arg-type]
    # "apple" first and "anvil" second are right too; the last one must be what is left.
    assert loss_and_right(Says(other_order), batch, torch.device("cpu"))[1] == 1.0  # type: ignore[arg-type]
    repeated = [own[0], own[1], own[0], own[3], own[4], own[5]]
    assert loss_and_right(Says(repeated), batch, torch.device("cpu"))[1] == pytest.approx(2 / 3)  # type: ignore[arg-type]


def test_muon_makes_the_step_of_torch() -> None:
    torch.manual_seed(0)
    start = [torch.randn(48, 64), torch.randn(64, 48), torch.randn(48, 64)]
    mine = [torch.nn.Parameter(w.clone()) for w in start]
    theirs = [torch.nn.Parameter(w.clone()) for w in start]
    ours = Muon(mine, lr=0.1, momentum=0.9, weight_decay=0.1)
    oracle = torch.optim.Muon(theirs, lr=0.1, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        for a, b in zip(mine, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        ours.step()
        oracle.step()
    for a, b, at in zip(mine, theirs, start, strict=True):
        # Both iterate in bfloat16, in another order of products.
        assert (a - b).norm() < 0.05 * (b - at).norm()


def test_curriculum_climbs_on_right_answers_only_and_returns_from_json() -> None:
    curriculum = Curriculum({"copy": 1.0, "ruler_vt": 1.0, "ruler_cwe": 0.0})
    for _ in range(50):
        curriculum.record("copy", 0, 0.89)
        curriculum.record("ruler_vt", 1, 1.0)
    assert [climb.level for climb in curriculum.climbs.values()] == [0, 0]
    while not curriculum.record("copy", 0, 1.0):
        pass
    assert curriculum.climbs["copy"].level == 1
    mix = curriculum.mix()
    assert sum(mix.values()) == pytest.approx(1)
    assert {task for task, _ in mix} == {"copy", "ruler_vt"}
    again = Curriculum({"copy": 1.0, "ruler_vt": 1.0})
    again.restore(json.loads(json.dumps(curriculum.state())))
    assert again.climbs == curriculum.climbs


class _Ranks(torch.nn.Module):
    """After the prompt it ranks the tokens it was given, most likely first."""

    def __init__(self, ranked: list[list[int]]) -> None:
        super().__init__()
        self.model, self.ranked = lambda input_ids, use_cache: self, ranked

    @property
    def last_hidden_state(self) -> torch.Tensor:
        return torch.arange(2 * 12, dtype=torch.float32).reshape(2, 12, 1)

    def lm_head(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(hidden), 100), -1.0)
        for row, ranked in zip(logits, self.ranked, strict=True):
            row[torch.tensor(ranked)] = torch.arange(len(ranked), 0, -1.0)
        return logits


def test_a_list_is_said_in_the_models_own_order_with_its_mistakes() -> None:
    ids = torch.arange(24).reshape(2, 12)
    where = torch.tensor([3, 5, 7, 8, 12 + 3, 12 + 5, 12 + 7])  # the place 8 is of no list
    lists = torch.tensor([[0, 1, 2], [4, 5, 6]])
    allowed = torch.full((7, 4), 99)
    # right are 4, 6, 8 and 16, 18, 20; the first row is ranked 8, 50, 4 and the second 20, 16, 18
    new_ids, new_allowed = say_in_own_order(_Ranks([[8, 50, 4], [20, 16, 18]]), ids, where, allowed, lists)  # type: ignore[arg-type]
    assert new_ids[0].tolist() == [0, 1, 2, 3, 8, 5, 50, 7, 4, 9, 10, 11]
    assert new_ids[1].tolist() == [12, 13, 14, 15, 20, 17, 16, 19, 18, 21, 22, 23]
    assert [set(row) - {-1} for row in new_allowed.tolist()] == [
        {8, 6, 4},
        {6, 4},
        {6, 4},
        {99},
        {20, 18, 16},
        {18, 16},
        {18},
    ]


def test_lists_of_one_token_answers_are_found(tasks: dict[str, Task], folder: Path) -> None:
    maker = Maker(tasks, Curriculum({"ruler_cwe": 1.0, "ruler_vt": 1.0}), folder, 4096)
    batch = maker.batch("ruler_cwe", 2, Random(0))
    rows = len(batch.ids)
    assert batch.lists.shape == (rows, 5)
    at = batch.where[batch.lists]
    assert (batch.ids.ravel()[at + 1] == batch.allowed[batch.lists][:, :, 0]).all()
    assert (batch.answer[batch.lists] == np.arange(5 * rows).reshape(rows, 5)).all()
    assert len(maker.batch("ruler_vt", 2, Random(0)).lists) == 0


def test_only_a_final_leg_decays_to_the_end() -> None:
    assert rate(10_000, 1.0, final=True) == pytest.approx(0.02)
    assert rate(10_000, 1.0, final=False) == pytest.approx(0.5)
    assert rate(10_000, 0.3, final=True) == rate(10_000, 0.3, final=False) == 1.0
    assert rate(10_000, 0.65, final=True) == pytest.approx(0.5)
    assert rate(0, 0.0, final=False) < 0.01


@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_what_their_names_say(encoder: Encoder, size: str) -> None:
    model = build(size, encoder.tokenizer)
    assert round(model.num_parameters() / 1e6) == int(re.findall(r"\d+", size)[0])
    config = model.config
    assert config.head_dim == 64
    assert config.num_attention_heads >= 2 * config.num_key_value_heads


def tiny_run(output: Path, **changes: object) -> Run:
    run = Run(
        size="nano-2m",
        output=output,
        minutes=5,
        steps=60,
        workers=1,
        compiled=False,
        tokens=512,
        accumulate=1,
        rate=1e-2,
        weights={task: 0.0 for task in WEIGHTS if task != "copy"},
        log_every_s=2.0,
    )
    return replace(run, **changes)  # type: ignore[arg-type]


def test_training_lowers_the_loss_resumes_and_exports(tasks: dict[str, Task], tmp_path: Path) -> None:
    out = tmp_path / "nano"
    train(tiny_run(out), tasks)
    rows = list(csv.DictReader((out / "curve.csv").open()))
    losses = [float(row["loss"]) for row in rows]
    assert losses[0] > 7
    assert losses[-1] < losses[0] - 0.5
    model = AutoModelForCausalLM.from_pretrained(out)
    assert model.dtype == torch.bfloat16
    assert model.config.model_type == "llama"
    assert model.generation_config.eos_token_id == AutoTokenizer.from_pretrained(out).eos_token_id
    first = json.loads((out / "curriculum.json").read_text())["done"]
    assert first["device"] == "CPU"
    train(tiny_run(out, resume=out, steps=3), tasks)
    second = json.loads((out / "curriculum.json").read_text())["done"]
    assert second["steps"] == first["steps"] + 3
    # On another machine only the exported files arrive: optimizers start anew, weights and totals go on.
    (out / "state.pt").unlink()
    train(tiny_run(tmp_path / "moved", resume=out, steps=1, rate=0.0), tasks)
    moved = AutoModelForCausalLM.from_pretrained(tmp_path / "moved")
    curves = [(folder / "curve.csv").read_text() for folder in (out, tmp_path / "moved")]
    assert curves[1].startswith(curves[0])
    assert len(curves[1]) > len(curves[0])
    kept = AutoModelForCausalLM.from_pretrained(out)
    assert all(torch.equal(a, b) for a, b in zip(moved.parameters(), kept.parameters(), strict=True))


def test_ranks_train_one_model(tmp_path: Path) -> None:
    """Two processes: gradients of a rank are the mean over both, totals count both, one of them writes."""
    out = tmp_path / "nano"
    options = "--device cpu --no-compile --tokens 512 --steps 2 --minutes 5 --workers 1 --weight copy=1"
    zero = [f"--weight={task}=0" for task in WEIGHTS if task != "copy"]
    code = (
        "import sys; import torch; from sparsebench.cli import main; from sparsebench.train import replicas\n"
        "average = replicas.Replicas.average\n"
        "def checked(self, parameters):\n"
        "    own = self.gather([[p.grad.clone() for p in parameters]])\n"
        "    average(self, parameters)\n"
        "    assert not torch.equal(own[0][0], own[1][0]), 'both ranks had one batch'\n"
        "    for p, a, b in zip(parameters, *own, strict=True):\n"
        "        torch.testing.assert_close(p.grad, (a + b) / 2)\n"
        "replicas.Replicas.average = checked\n"
        "if __name__ == '__main__':\n"
        "    sys.exit(main(sys.argv[1:]))\n"
    )
    script = tmp_path / "checked.py"
    script.write_text(code)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        str(script),
        "train",
    ]
    command += ["--size=nano-2m", f"--output={out}", *options.split(), *zero]
    done = subprocess.run(command, cwd=CONFIG.parents[1], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    totals = json.loads((out / "curriculum.json").read_text())["done"]
    assert totals["steps"] == 2
    assert totals["tokens"] == 2 * 2 * 512
    assert totals["device_minutes"] == pytest.approx(2 * totals["minutes"])
    assert AutoModelForCausalLM.from_pretrained(out).config.num_hidden_layers == SIZES["nano-2m"].layers


def test_the_card_says_what_was_measured_and_where_it_is_weak(tmp_path: Path) -> None:
    folder = tmp_path / "nano-2m"
    folder.mkdir()
    for name in ("config.json", "curriculum.json", "curve.csv"):
        text = (CONFIG.parents[1] / "resources/models/nano-2m" / name).read_text()
        (folder / name).write_text(text.replace("NVIDIA H200", "NVIDIA A100"))
    done = json.loads((folder / "curriculum.json").read_text())["done"]
    rows = [
        {"task": task, "length_tok": length, "n": 40, "score": score, "low": score - 0.1, "high": score + 0.1}
        for task, length, score in (("niah", 1024, 0.9), ("niah", 2048, 0.85), ("vt", 2048, 0.3))
    ]
    write_card(folder, {"rows": rows, "command": "the command", "device": "a CPU", "dtype": "bfloat16"})
    card = (folder / "README.md").read_text()
    assert "| niah | 0.90 [0.80, 1.00], n=40 | 0.85 [0.75, 0.95], n=40 |" in card
    assert "| vt |  | 0.30 [0.20, 0.40], n=40 |" in card
    assert "below 0.8: vt at 2,048 tokens." in card
    assert "    the command\n" in card
    assert f"Training so far: {done['minutes']:.1f} minutes, {done['device_minutes']:.1f} minutes of GPUs," in card
    assert "at last of NVIDIA A100;" in card


def test_nothing_to_resume_is_said(tasks: dict[str, Task], folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to resume"):
        train(tiny_run(tmp_path / "out", resume=folder), tasks)
