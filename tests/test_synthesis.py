"""Samples: filled to length, the same bytes each time, independent of how many are made."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from sparsebench.errors import UserError
from sparsebench.spec import TaskSpec
from sparsebench.synthesis import synthesise
from sparsebench.tables import SAMPLES
from sparsebench.tasks.draw import Draw
from sparsebench.tasks.registry import task_classes
from sparsebench.tasks.window import Window

SETTINGS = [
    ("ruler_niah", {"haystack": "prose"}, 1024),
    ("ruler_niah", {"haystack": "noise", "keys": 4, "queries": 4}, 1024),
    ("ruler_niah", {"haystack": "needles"}, 4096),
    ("ruler_niah", {"key_kind": "word", "value_kind": "number", "values": 4}, 1024),
    ("ruler_vt", {}, 1024),
    ("ruler_vt", {"chains": 3, "hops": 2, "haystack": "prose"}, 1024),
    ("ruler_cwe", {}, 4096),
    ("ruler_cwe", {"freq_common": 8, "freq_rare": 2, "common": 3}, 1024),
]


def spec(task: str, params: dict[str, object], samples: int = 3, seed: int = 7) -> TaskSpec:
    return TaskSpec(label=f"my_{task}", task=task, params=params, samples=samples, seed=seed)


@pytest.mark.parametrize(("task", "params", "length"), SETTINGS)
@pytest.mark.parametrize("stretch", [1, 8])
def test_prompts_fill_the_length_and_evidence_is_where_it_is_said_to_be(
    tokenizer_dir: Path, task: str, params: dict[str, object], length: int, stretch: int
) -> None:
    length *= stretch
    table = synthesise(spec(task, params, samples=2), "tiny", tokenizer_dir, length)
    assert table.schema.equals(SAMPLES)
    tokenizer = AutoTokenizer.from_pretrained(str(tokenizer_dir))
    for row in table.to_pylist():
        assert 0.95 * length <= row["prompt_tok"] <= length
        assert row["prompt_tok"] == len(row["prompt_ids"])
        # The ids are those that the tokenizer itself gives for the rendered prompt.
        assert tokenizer(row["prompt"], add_special_tokens=False)["input_ids"] == row["prompt_ids"]
        assert row["task"] == f"my_{task}" and row["length_tok"] == length
        assert row["evidence_tok"] == sorted(row["evidence_tok"])
        text = [tokenizer.decode(row["prompt_ids"][place : place + 120]) for place in row["evidence_tok"]]
        joined = "\n".join(text)
        if task == "ruler_cwe":
            assert {piece.split()[1] for piece in text} == set(row["answers"])
        else:
            assert all(answer in joined for answer in row["answers"])


def test_a_sample_is_the_same_in_another_process_and_whatever_the_number_of_samples(tokenizer_dir: Path) -> None:
    few = synthesise(spec("ruler_niah", {}, samples=2), "tiny", tokenizer_dir, 1024)
    many = synthesise(spec("ruler_niah", {}, samples=5), "tiny", tokenizer_dir, 1024)
    assert many.slice(0, 2).equals(few)
    code = (
        "from pathlib import Path; from sparsebench.synthesis import synthesise; from sparsebench.spec import TaskSpec;"
        f"t = TaskSpec.model_validate_json({spec('ruler_niah', {}, samples=2).model_dump_json()!r});"
        f"print(synthesise(t, 'tiny', Path({str(tokenizer_dir)!r}), 1024)['digest'].to_pylist())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "4321"}
    )
    assert run.stdout.strip() == str(few["digest"].to_pylist())


def test_what_a_sample_depends_on(tokenizer_dir: Path) -> None:
    def first(params: dict[str, object], seed: int = 7, tokenizer: str = "tiny", length: int = 1024) -> str:
        return str(synthesise(spec("ruler_niah", params, 1, seed), tokenizer, tokenizer_dir, length)["digest"][0])

    base = first({})
    assert first({"keys": 1, "haystack": "prose"}) == base, "a default written out changes nothing"
    others = [first({"keys": 2}), first({}, seed=8), first({}, tokenizer="other"), first({}, length=1025)]
    assert len({base, *others}) == 5


def test_what_is_scored_changes_no_sample(tokenizer_dir: Path) -> None:
    for name in (name for name, cls in task_classes().items() if cls.scoring):
        params = {"corpus": "shipped"} if name.startswith("qa_") else {}
        match = "exact" if name.startswith("qa_") else "iou"
        tables = [
            synthesise(spec(name, params | more, 2), "tiny", tokenizer_dir, 8192) for more in ({}, {"match": match})
        ]
        assert tables[0].equals(tables[1])


def test_samples_of_a_task_differ(tokenizer_dir: Path) -> None:
    table = synthesise(spec("ruler_niah", {}, samples=30), "tiny", tokenizer_dir, 512)
    assert len(set(table["digest"].to_pylist())) == 30
    assert len({answer for row in table["answers"].to_pylist() for answer in row}) == 30


@pytest.mark.parametrize("samples", [10, 40, 100])
def test_evidence_depth_is_even_over_samples(tokenizer_dir: Path, samples: int) -> None:
    """The largest gap of an even cover of [0, 1) is small: at most three times that of a regular grid."""
    table = synthesise(spec("ruler_niah", {"haystack": "noise"}, samples), "tiny", tokenizer_dir, 4096)
    depths = sorted(place / 4096 for row in table["evidence_tok"].to_pylist() for place in row)
    gaps = [b - a for a, b in zip([0.0, *depths], [*depths, 1.0], strict=True)]
    assert max(gaps) < 3 / samples + 0.06  # instruction and question take some tokens at both ends


def test_depths_of_several_needles_are_even_together_and_in_random_order() -> None:
    places = [Draw(1, index, "series").depths(4) for index in range(50)]
    cells = [0] * 20
    for place in (p for four in places for p in four):
        cells[int(place * 20)] += 1
    assert min(cells) >= 8 and max(cells) <= 12
    assert any(four != sorted(four) for four in places)


def test_depths_do_not_depend_on_length() -> None:
    at_one, at_another = Draw(1, 3, "s"), Draw(2, 3, "s")
    assert sorted(at_one.depths(4)) == sorted(at_another.depths(4)) != sorted(Draw(2, 4, "s").depths(4))


def test_every_language_is_asked_every_kind_of_question(tokenizer_dir: Path) -> None:
    kinds = {
        (json.loads(row["meta"])["language"], "-" in answer, answer.isdigit())
        for row in synthesise(spec("multilingual_qa", {}, 21), "tiny", tokenizer_dir, 2048).to_pylist()
        for answer in row["answers"]
    }
    assert len(kinds) == 21


def test_stretched_lengths_beyond_the_models_limit_are_no_matter_for_a_tokenizer(tokenizer_dir: Path) -> None:
    table = synthesise(spec("ruler_vt", {}, 1), "tiny", tokenizer_dir, 131_072)
    assert 0.95 * 131_072 <= table["prompt_tok"][0].as_py() <= 131_072


def test_a_base_model_gets_the_plain_text_with_its_first_token(tokenizer_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(tokenizer_dir, folder)
    (folder / "chat_template.jinja").unlink()
    row = synthesise(spec("ruler_niah", {}, 1), "base", folder, 1024).to_pylist()[0]
    assert row["prompt"].startswith("A text follows") and "<|user|>" not in row["prompt"]
    assert 0.95 * 1024 <= row["prompt_tok"] <= 1024


def test_a_prompt_that_does_not_fit_is_made_again_from_text_measured_as_it_stands(
    tokenizer_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a tokenizer whose words have more tokens together than one by one, but not in the first pieces."""
    exact = synthesise(spec("ruler_niah", {}, 2), "tiny", tokenizer_dir, 4096)
    sum_words = Window._sum_words

    def too_few(self: Window, pieces: Sequence[str]) -> Iterator[int]:
        sizes = sum_words(self, pieces)
        return sizes if len(pieces) <= 17 else (size - 1 for size in sizes)

    monkeypatch.setattr(Window, "_sum_words", too_few)
    again = synthesise(spec("ruler_niah", {}, 2), "tiny", tokenizer_dir, 4096)
    for row, other in zip(again.to_pylist(), exact.to_pylist(), strict=True):
        assert 0.99 * 4096 <= row["prompt_tok"] <= 4096 and row["answers"] == other["answers"]


def test_truncation_asked_for_by_a_tokenizer_file_is_not_applied(tokenizer_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "short"
    shutil.copytree(tokenizer_dir, folder)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["truncation"] = {"direction": "Right", "max_length": 64, "strategy": "LongestFirst", "stride": 0}
    path.write_text(json.dumps(content))
    same = synthesise(spec("ruler_niah", {}, 1), "tiny", folder, 1024)
    assert same.equals(synthesise(spec("ruler_niah", {}, 1), "tiny", tokenizer_dir, 1024))


def test_too_short_a_length_names_the_minimum(tokenizer_dir: Path) -> None:
    with pytest.raises(UserError, match=r"task ruler_niah: needs about \d+ tokens .* got length 64"):
        synthesise(spec("ruler_niah", {}, 1), "tiny", tokenizer_dir, 64)
    with pytest.raises(UserError, match=r"task ruler_cwe: needs about \d+ tokens .* got length 512"):
        synthesise(spec("ruler_cwe", {}, 1), "tiny", tokenizer_dir, 512)
    with pytest.raises(UserError, match="length_tok is 0"):
        synthesise(spec("ruler_cwe", {}, 1), "tiny", tokenizer_dir, 0)


def test_questions_that_do_not_fit_the_shortest_length_are_told_by_the_key_to_set(tokenizer_dir: Path) -> None:
    params: dict[str, object] = {"corpus": "shipped", "shortest_tok": 300}
    with pytest.raises(UserError, match=r"shortest_tok \(300\) .* needs about \d+ tokens; set a longer shortest_tok"):
        synthesise(spec("qa_toefl", params, 1), "tiny", tokenizer_dir, 4096)
    with pytest.raises(UserError, match=r"length 200 is below shortest_tok \(300\)"):
        synthesise(spec("qa_toefl", params, 1), "tiny", tokenizer_dir, 200)


def test_a_folder_without_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no tokenizer"):
        synthesise(spec("ruler_niah", {}, 1), "tiny", tmp_path, 1024)
