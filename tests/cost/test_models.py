"""The table of models, of fetched folders."""

from __future__ import annotations

from pathlib import Path

from sparsebench.cli import main
from sparsebench.cost.models import tokenizers_of
from sparsebench.models.fetch import fetch_model
from sparsebench.models.source import ModelSource
from sparsebench.tables import MODELS, read_table


def test_facts_of_a_fetched_model(tiny_llama_dir: Path, tmp_path: Path) -> None:
    for name in ("tiny", "twin"):
        fetch_model(name, ModelSource(path=str(tiny_llama_dir)), tmp_path / name)
    files = [str(tmp_path / name / "model.json") for name in ("tiny", "twin")]
    call = ["models", "--models", *files, "--tokenizers", '{"twin": "tiny"}', "--output", str(tmp_path / "m.arrow")]
    assert main(call) == 0
    table = read_table(tmp_path / "m.arrow", MODELS)
    assert tokenizers_of(table) == {"tiny": "tiny", "twin": "tiny"}
    row = table.to_pylist()[0]
    # q, o: 32 x 32; k, v: 32 x 16; three MLP matrices 32 x 48; two layers; embedding and output of 2,000 words.
    layer = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48
    assert row["active_parameters"] == 2 * layer + 32 * row["vocabulary"]
    assert (row["layers"], row["global_layers"], row["window_tok"]) == (2, 2, None)
    assert row["kv_bytes_per_tok"] == 2 * 2 * 2 * 8 * 2
