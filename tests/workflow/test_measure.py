"""What the config asks to be timed is timed, on the device at hand, and comes out as one table."""

from __future__ import annotations

import json

from sparsebench.tables import COST_CHECK, MEASUREMENTS, read_table

from .study import jobs

TABLE = "results/tables/measurements.arrow"
CHECK = "results/tables/cost_check.arrow"


def test_nothing_asked_for_is_an_empty_table(fresh):
    assert jobs(fresh.run(TABLE)) == {"collect_measurements": 1}
    assert read_table(fresh.folder / TABLE, MEASUREMENTS).num_rows == 0


def test_attention_models_and_the_whole_job_are_measured_once(fresh):
    # One label in both phases is one job. No control is timed by itself.
    named = {"prefill": "block_sparse", "decode": "quest"}
    fresh.config |= {phase: {"both": {"method": name, "sparsity": [0.5]}} for phase, name in named.items()}
    fresh.config["decode"]["oracle"] = {"sparsity": [0.5]}
    generation = {"lengths": [128], "models": ["tiny"], "fanout_tok": 4}
    attention = {"lengths": [256], "heads": 4, "kv_heads": 2, "head_dim": 16}
    fresh.config["measure"] = {"attention": attention, "generation": generation}
    each = {"measure_attention": 1, "measure_fanout": 1, "measure_generation": 1}
    derived = {"collect_measurements": 1, "model_table": 1, "derive_table": 1}
    assert jobs(fresh.run(CHECK)) == {"fetch_model": 1, **each, **derived}
    table = read_table(fresh.folder / TABLE, MEASUREMENTS)
    rows = table.to_pylist()
    found = sorted({(r["kind"], r["model"], r["phase"], r["method"], r["sparsity"]) for r in rows})
    assert len(found) == len(rows)
    assert found == sorted(
        [("attention", "H4 G2 D16", phase, "both", 0.5) for phase in ("prefill", "decode")]
        + [
            ("generation", "tiny", phase, method, sparsity)
            for phase in ("prefill", "decode")
            for method, sparsity in (("dense", 0.0), ("transformers", 0.0), ("both", 0.5))
        ]
        + [("fanout", "tiny", "both", way, 0.0) for way in ("transformers", "alone", "one_batch")]
    )
    [(device, about)] = json.loads(table.schema.metadata[b"measured_on"]).items()
    assert device == rows[0]["device"] and float(about["copy_tb_s"]) > 0
    checked = read_table(fresh.folder / CHECK, COST_CHECK).to_pylist()
    assert {(r["kind"], r["phase"]) for r in checked if r["method"] == "both"} == {
        (kind, phase) for kind in ("attention", "generation") for phase in ("prefill", "decode")
    }
    assert jobs(fresh.run(CHECK)) == {}
    # a method more is measured alone; weights may be made up instead of fetched
    fresh.config["decode"]["quest"] = {"sparsity": [0.5]}
    assert jobs(fresh.run("--dry-run", TABLE)) == {"collect_measurements": 1, **each}
    (fresh.folder / "llama.json").write_text("{}")
    fresh.config["measure"]["generation"] |= {"models": [], "random_weights": {"made": "llama.json"}}
    said = fresh.run("--dry-run", "--printshellcmds", TABLE)
    assert "sparsebench measure generation --random-weights llama.json --label made" in said
