"""The length is filled whatever the tokenizer: the kinds that model families use."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from sparsebench.errors import UserError
from sparsebench.spec import TaskSpec
from sparsebench.synthesis import synthesise
from sparsebench.tasks.prose import sentences
from sparsebench.tasks.registry import task_classes

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)


TOKENIZERS = ["llama3", "llama2", "gemma", "unigram", "joined"]


def trained(kind: str) -> Tokenizer:
    """A small tokenizer built like those of Llama 3 and Qwen, Llama 2 and Mistral, Gemma, T5; one that joins words."""
    ascii_letters = [chr(c) for c in range(33, 127)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if kind == "llama3":
        backend = Tokenizer(models.BPE())
        split = pre_tokenizers.Split(Regex(LLAMA3), "isolated")
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=1500, initial_alphabet=alphabet, show_progress=False)
    elif kind == "joined":
        backend = Tokenizer(models.BPE(unk_token="<unk>"))
        backend.decoder = decoders.Fuse()
        trainer = trainers.BpeTrainer(
            vocab_size=1500,
            special_tokens=["<unk>"],
            initial_alphabet=[" ", "\n", *ascii_letters],
            show_progress=False,
        )
    elif kind == "unigram":
        backend = Tokenizer(models.Unigram())
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        backend.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=900,
            unk_token="<unk>",
            special_tokens=["<unk>"],
            initial_alphabet=ascii_letters,
            show_progress=False,
        )
    else:
        backend = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        spaces = normalizers.Replace(" ", "▁")
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces]) if kind == "llama2" else spaces
        backend.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
        backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        trainer = trainers.BpeTrainer(
            vocab_size=1500,
            special_tokens=["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))],
            initial_alphabet=ascii_letters,
            show_progress=False,
        )
    stream = sentences(Random(1))
    backend.train_from_iterator((next(stream) for _ in range(1500)), trainer)
    if kind == "llama2":
        # As there, words are parted only while training.
        backend.pre_tokenizer = pre_tokenizers.Sequence([])
        backend.post_processor = processors.TemplateProcessing("<unk> $A", special_tokens=[("<unk>", 0)])
    return backend


@pytest.fixture(scope="module", params=TOKENIZERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained(request.param), unk_token="<unk>")
    if request.param in ("llama3", "gemma"):
        tokenizer.chat_template = (
            "{% for m in messages %}[{{ m['role'] }}]\n{{ m['content'] }}\n{% endfor %}[assistant]\n"
        )
    folder = tmp_path_factory.mktemp(request.param)
    tokenizer.save_pretrained(str(folder))
    return folder


LENGTHS = [1024 << i for i in range(9)]
"""From 1K to 256K."""

PARAMS: dict[str, dict[str, object]] = {
    "ruler_cwe": {"common": 4, "freq_common": 12, "freq_rare": 2},
    "long_generation": {"items": 20},
}


@pytest.mark.parametrize("task", [name for name, cls in task_classes().items() if not cls().files()])
def test_every_length_is_filled_or_refused_by_its_minimum(folder: Path, task: str) -> None:
    # Long texts take long: each task meets them with one of the tokenizers.
    turn = list(task_classes()).index(task) % len(TOKENIZERS) == TOKENIZERS.index(folder.name[:-1])
    for length in LENGTHS if turn else LENGTHS[:5]:
        params = PARAMS.get(task, {}) if length < 8192 else {}
        spec = TaskSpec(label=task, task=task, params=params, samples=1, seed=2)
        try:
            # A prompt outside 95-100 % is an error.
            table = synthesise(spec, "other", folder, length)
        except UserError as error:
            needed = re.search(r"needs about (\d+) tokens", str(error))
            assert needed and int(needed[1]) > length and length <= 2048, error
            continue
        assert all(0.95 * length <= n <= length for n in table["prompt_tok"].to_pylist())


def large_corpus(form: str, folder: Path) -> Path:
    """Made-up documents in a published format, enough of them for 256K tokens."""
    stream = sentences(Random(3))

    def text(n: int) -> str:
        return " ".join(next(stream) for _ in range(n))

    if form == "squad":
        qa = {"question": "Who?", "answers": [{"text": "nobody"}]}
        content = json.dumps(
            {"data": [{"title": "T", "paragraphs": [{"context": text(9), "qas": [qa]} for _ in range(2000)]}]}
        )
    elif form == "hotpotqa":
        entries = [
            {
                "question": f"Who {i}?",
                "answer": "nobody",
                "supporting_facts": [["0", 0], ["3", 0]],
                "context": [[str(j), [text(5)]] for j in range(6)],
            }
            for i in range(500)
        ]
        content = json.dumps(entries)
    elif form == "quality":
        question = {"question": "Why?", "options": ["w", "x", "y", "z"], "gold_label": 3}
        lines = [{"title": "T", "article": text(90), "questions": [question]} for _ in range(200)]
        content = "\n".join(json.dumps(line) for line in lines)
    else:
        listed = "Question: why? Options: A.w B.x C.y D.z "
        lines = [{"context": text(45), "questions": [listed], "answer": ["AD"]} for _ in range(400)]
        content = "\n".join(json.dumps(line) for line in lines)
    path = folder / f"{form}.json"
    path.write_text(content)
    return path


@pytest.mark.parametrize(
    ("folder", "task", "form", "shortest"),
    [
        ("llama3", "qa_squad", "squad", 1024),
        ("llama2", "qa_quality", "quality", 8192),
        ("gemma", "qa_toefl", "toefl", 4096),
        ("unigram", "ruler_qa", "hotpotqa", 1024),
    ],
    indirect=["folder"],
)
def test_documents_fill_every_length(folder: Path, task: str, form: str, shortest: int, tmp_path: Path) -> None:
    corpus = str(large_corpus(form, tmp_path))
    params = {"corpus": corpus, "shortest_tok": shortest} | ({"form": form} if task == "ruler_qa" else {})
    spec = TaskSpec(label=task, task=task, params=params, samples=2, seed=2)
    for length in (length for length in LENGTHS if length >= shortest):
        table = synthesise(spec, "other", folder, length)
        assert all(0.95 * length <= n <= length for n in table["prompt_tok"].to_pylist())


def test_evidence_is_found_in_other_tokenizers(folder: Path) -> None:
    spec = TaskSpec(label="n", task="ruler_niah", params={"keys": 2, "queries": 2}, samples=4, seed=2)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    for row in synthesise(spec, "other", folder, 2048).to_pylist():
        for place in row["evidence_tok"]:
            text = tokenizer.decode(row["prompt_ids"][place : place + 150])
            assert any(answer in text for answer in row["answers"])
