"""What the config asks to be timed is timed, on the device at hand, and comes out as one table."""

from __future__ import annotations

import json

import pytest

from sparsebench.tables import MEASUREMENTS, read_table

from .study import Study, jobs

SMALL = {
    "model_type": "llama",
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 1024,
}
TABLE = "results/tables/measurements.arrow"


@pytest.fixture
def study(tmp_path, tiny_llama_dir) -> Study:
    return Study.of(tmp_path / "study", tiny_llama_dir)


def test_nothing_asked_for_is_an_empty_table(study):
    assert jobs(study.run(TABLE)) == {"collect_measurements": 1}
    assert read_table(study.folder / TABLE, MEASUREMENTS).num_rows == 0


def test_attention_models_and_the_whole_job_are_measured_once(study):
    (study.folder / "small.json").write_text(json.dumps(SMALL))
    study.config |= {phase: {"oracle": {"sparsity": [0.5]}} for phase in ("prefill", "decode")}
    study.config["measure"] = {
        "attention": {"lengths": [256], "heads": 4, "kv_heads": 2, "head_dim": 16},
        "generation": {
            "lengths": [128],
            "models": ["tiny"],
            "random_weights": {"small": "small.json"},
            "fanout_tok": 4,
        },
    }
    said = study.run(TABLE)
    assert jobs(said) == {
        "collect_measurements": 1,
        "fetch_model": 1,
        "measure_attention": 1,
        "measure_fanout": 2,
        "measure_generation": 2,
    }
    table = read_table(study.folder / TABLE, MEASUREMENTS)
    rows = table.to_pylist()
    found = sorted({(r["kind"], r["model"], r["phase"], r["method"], r["sparsity"]) for r in rows})
    assert len(found) == len(rows)
    assert found == sorted(
        [("attention", "H4 G2 D16", phase, "oracle", 0.5) for phase in ("prefill", "decode")]
        + [
            ("generation", model, phase, method, sparsity)
            for model in ("tiny", "small")
            for phase in ("prefill", "decode")
            for method, sparsity in (("dense", 0.0), ("transformers", 0.0), ("oracle", 0.5))
        ]
        + [("fanout", m, "both", way, 0.0) for m in ("tiny", "small") for way in ("transformers", "alone", "one_batch")]
    )
    [(device, about)] = json.loads(table.schema.metadata[b"measured_on"]).items()
    assert device == rows[0]["device"] and float(about["copy_tb_s"]) > 0
    assert jobs(study.run(TABLE)) == {}
    # a method more is measured alone
    study.config["decode"]["quest"] = {"sparsity": [0.5]}
    again = jobs(study.run("--dry-run", TABLE))
    assert again == {"collect_measurements": 1, "measure_attention": 1, "measure_fanout": 2, "measure_generation": 2}
