"""The command line: a subcommand per rule, each with a purpose; mistakes without a traceback."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sparsebench.cli import main, parser

ROOT = Path(__file__).parents[1]


def _purposes() -> dict[str, str]:
    (commands,) = (a for a in parser()._actions if hasattr(a, "choices") and a.choices)
    return {action.dest: action.help for action in commands._choices_actions}  # type: ignore[attr-defined]


def test_every_rule_calls_a_subcommand_that_exists() -> None:
    used = set()
    for file in (ROOT / "workflow/rules").glob("*.smk"):
        text = file.read_text()
        called = re.findall(r"\bsparsebench ([a-z][a-z-]+)", text)
        assert len(called) == len(re.findall(r"^rule ", text, re.M)), file
        used |= set(called)
    assert used <= set(_purposes())
    assert len(used) >= 9


def test_every_subcommand_states_its_purpose_in_one_line() -> None:
    for name, purpose in _purposes().items():
        assert purpose and "\n" not in purpose and len(purpose) < 80, name


def test_wrong_calls_say_what_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    for call, said in (
        (["infr"], "invalid choice: 'infr'"),
        (["collect", "samples", "--inputs", "-", "--output", "x"], "predictions"),
        (["score", "--task", "{}", "--predictions", "a", "--samples", "b", "--output", "c"], "not a TaskSpec"),
        ([], "COMMAND"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(call)
        assert stop.value.code == 2
        assert said in capsys.readouterr().err


def test_a_users_mistake_is_a_message_and_exit_1(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("lengths: [1024]\nmodels: {m: {hub: o/m}}\ntasks: {ruler_naih: }\ndecode: {qest: }\n")
    done = subprocess.run(
        [sys.executable, "-m", "sparsebench", "grid", "--config", str(config)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "did you mean 'ruler_niah'" in done.stderr and "did you mean 'quest'" in done.stderr
    assert "Traceback" not in done.stderr


def test_damaged_table_is_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scores.arrow").write_bytes(b"ARROW1 but not really")
    call = ["tabulate", "accuracy", "--tables", str(tmp_path), "--output", str(tmp_path / "out.arrow")]
    assert main(call) == 1
    assert "delete it and run again" in capsys.readouterr().err
    assert not (tmp_path / "out.arrow").exists()


def test_grid_and_schema_print(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        "lengths: [512]\nsamples: 2\nsparsity: [0.8]\nmodels: {m: {hub: o/m}}\ntasks: {ruler_niah: }\n"
        "prefill: {oracle: , random: }\ndecode: {quest: }\n"
    )
    assert main(["grid", "--config", str(config)]) == 0
    # dense with dense and quest decoding: 2 prefills, 4 rows; oracle and random: 2 prefills, 2 rows each
    assert "3 cells, 6 prefills, 8 rows; 0 cells dropped" in capsys.readouterr().out
    assert main(["schema"]) == 0
    assert '"properties"' in capsys.readouterr().out


def test_a_sample_is_shown_with_the_tokenizer_of_the_first_model_that_is_there(
    tiny_llama_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "c.yaml"
    call = ["show-sample", "--task", "ruler_vt", "--length", "1024", "--config", str(config)]

    def shown(models: str, *more: str) -> str:
        config.write_text(f"lengths: [1024]\nmodels: {models}\ntasks: {{ruler_vt: }}\n")
        code = main([*call, *more])
        told = capsys.readouterr()
        assert code == (1 if told.err else 0)
        assert told.err or re.search(r"^perfect .* scores 1$", told.out, re.MULTILINE)
        return told.err or told.out

    assert "results/models/m/model.json` first" in shown("{m: {hub: o/m}}")
    assert "unknown task 'ruler_v'; did you mean 'ruler_vt'" in shown("{m: {hub: o/m}}", "--task", "ruler_v")
    assert "nowhere/model.json: no such file" in shown("{m: {hub: o/m}}", "--model", "nowhere")
    local = shown(f"{{m: {{hub: o/m}}, tiny: {{path: {tiny_llama_dir}}}}}")
    source = json.dumps({"path": str(tiny_llama_dir)})
    assert main(["fetch-model", "m", "--source", source, "--folder", "results/models/m"]) == 0
    capsys.readouterr()
    assert shown("{m: {hub: o/m}}") == local == shown("{m: {hub: o/m}}", "--model", str(tiny_llama_dir))


def test_starting_up_imports_no_torch() -> None:
    code = "import sys, sparsebench.cli; sparsebench.cli.parser(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
