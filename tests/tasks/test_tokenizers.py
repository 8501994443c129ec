"""The length is filled whatever the tokenizer: the kinds that model families use."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from sparsebench.spec import TaskSpec
from sparsebench.synthesis import synthesise
from sparsebench.tasks.prose import sentences
from sparsebench.tasks.registry import task_classes

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)


def trained(kind: str) -> Tokenizer:
    """A small tokenizer built like those of Llama 3 and Qwen, Llama 2 and Mistral, Gemma, T5."""
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


@pytest.fixture(scope="module", params=["llama3", "llama2", "gemma", "unigram"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained(request.param), unk_token="<unk>")
    if request.param in ("llama3", "gemma"):
        tokenizer.chat_template = (
            "{% for m in messages %}[{{ m['role'] }}]\n{{ m['content'] }}\n{% endfor %}[assistant]\n"
        )
    folder = tmp_path_factory.mktemp(request.param)
    tokenizer.save_pretrained(str(folder))
    return folder


PARAMS: dict[str, dict[str, object]] = {
    "qa_squad": {"corpus": "shipped"},
    "qa_quality": {"corpus": "shipped", "shortest_tok": 2048},
    "qa_toefl": {"corpus": "shipped", "shortest_tok": 2048},
    "ruler_qa": {"corpus": "shipped", "form": "hotpotqa", "shortest_tok": 2048},
    "long_generation": {"items": 20},
    "ruler_cwe": {"common": 4, "freq_common": 12, "freq_rare": 2},
}


@pytest.mark.parametrize("task", list(task_classes()))
def test_every_task_fills_the_length(folder: Path, task: str) -> None:
    spec = TaskSpec(label=task, task=task, params=PARAMS.get(task, {}), samples=3, seed=2)
    for length in (2048, 3000, 9000 if task not in PARAMS or task in ("long_generation", "ruler_cwe") else 4096):
        # A prompt outside 95-100 % is an error.
        table = synthesise(spec, "other", folder, length)
        assert all(0.95 * length <= n <= length for n in table["prompt_tok"].to_pylist())


def test_evidence_is_found_in_other_tokenizers(folder: Path) -> None:
    spec = TaskSpec(label="n", task="ruler_niah", params={"keys": 2, "queries": 2}, samples=4, seed=2)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    for row in synthesise(spec, "other", folder, 2048).to_pylist():
        for place in row["evidence_tok"]:
            text = tokenizer.decode(row["prompt_ids"][place : place + 150])
            assert any(answer in text for answer in row["answers"])
