"""Fetching: three kinds of source, each with its mistakes; nothing half made is left behind."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import errors

from sparsebench.entries import ModelEntry
from sparsebench.errors import UserError
from sparsebench.models import fetch
from sparsebench.models.fetch import fetch_model
from sparsebench.models.info import read_info
from sparsebench.models.presets import with_preset
from sparsebench.models.rope import Rope
from sparsebench.models.source import ModelSource

YARN = Rope(rope_type="yarn", factor=2.0, original_max_position_embeddings=512)


def test_a_local_folder_is_used_where_it_is(tiny_llama_dir: Path, tmp_path: Path) -> None:
    fetch_model("tiny", ModelSource(path=str(tiny_llama_dir)), tmp_path / "tiny")
    assert [p.name for p in (tmp_path / "tiny").iterdir()] == ["model.json"]
    info = read_info(tmp_path / "tiny")
    assert Path(info.folder) == tiny_llama_dir.resolve()
    assert (info.architecture, info.layers, info.heads, info.kv_heads) == ("LlamaForCausalLM", 2, 4, 2)


def test_a_folder_that_changes_is_noticed(tmp_path: Path) -> None:
    source = ModelSource(path=str(tmp_path))
    empty = source.state()
    (tmp_path / "model.safetensors").write_bytes(b"1")
    one = source.state()
    assert source.state() == one != empty
    (tmp_path / "model.safetensors").write_bytes(b"12")
    assert source.state() != one
    assert ModelSource(hub="some/model").state() == ModelSource(path="/no/such/folder").state() == ""


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"models\.m\.path: .*'/no/such/folder'"):
        fetch_model("m", ModelSource(path="/no/such/folder"), tmp_path / "m")


def test_another_file_of_a_wheel_is_another_source() -> None:
    one, two = (ModelSource(pip="x==1.0", file=file) for file in ("*Q4*.gguf", "*Q8*.gguf"))
    assert len({one.describe(), two.describe(), ModelSource(pip="x==1.0").describe()}) == 3


def _hub_error(kind: type[Exception]) -> Exception:
    error = kind.__new__(kind)  # their constructors want the response of a server
    error.args = ("refused",)
    return error


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (errors.GatedRepoError, "'some/model' is gated: accept its licence on https://huggingface.co/some/model"),
        (errors.RevisionNotFoundError, "no revision 'v9'; allowed: a branch, tag or commit"),
        (errors.RepositoryNotFoundError, "no model 'some/model' on the Hub, or it is private"),
        (errors.LocalEntryNotFoundError, "without network, run `snakemake"),
        (errors.OfflineModeIsEnabled, "OfflineModeIsEnabled: refused.*without network"),
        (ConnectionError, "ConnectionError: refused.*without network"),
    ],
)
def test_each_failure_of_the_hub_says_what_to_do(
    kind: type[Exception], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise _hub_error(kind)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(UserError, match=says):
        fetch_model("m", ModelSource(hub="some/model", revision="v9"), tmp_path / "m")
    assert not any((tmp_path / "m").iterdir())


@pytest.mark.parametrize("kind", [errors.GatedRepoError, errors.RepositoryNotFoundError, ConnectionError])
def test_every_failure_of_a_gated_preset_tells_how_to_get_access(
    kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise _hub_error(kind)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    entry = ModelEntry.model_validate(with_preset("gemma-3-4b", None))
    with pytest.raises(UserError) as caught:
        fetch_model("gemma-3-4b", entry.source(), tmp_path / "m")
    message = str(caught.value)
    for part in ("Gemma Terms of Use", "https://huggingface.co/google/gemma-3-4b-it", "hf auth login", "HF_TOKEN"):
        assert part in message


def test_without_network_the_real_client_is_told_apart_from_a_missing_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"cannot download 'some/model'.*without network, run"):
        fetch_model("m", ModelSource(hub="some/model"), tmp_path / "m")


def test_the_hub_is_asked_for_the_revision_and_copied(
    tiny_llama_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    asked: dict[str, object] = {}

    def download(repo: str, *, revision: str, local_dir: Path, allow_patterns: list[str]) -> None:
        asked.update(repo=repo, revision=revision)
        shutil.copytree(tiny_llama_dir, local_dir, dirs_exist_ok=True)
        (local_dir / ".cache").mkdir()

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    fetch_model("m", ModelSource(hub="some/model", revision="abc"), tmp_path / "m")
    assert asked == {"repo": "some/model", "revision": "abc"}
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["model.json", "weights"]
    assert not (tmp_path / "m" / "weights" / ".cache").exists()
    asked.clear()
    fetch_model("m", ModelSource(hub="some/model", revision="abc"), tmp_path / "m", rope=YARN)
    assert not asked, "another scaling downloads nothing"
    assert read_info(tmp_path / "m").rope == YARN
    fetch_model("m", ModelSource(hub="some/model", revision="abd"), tmp_path / "m")
    assert asked["revision"] == "abd"
    moved = (tmp_path / "m").rename(tmp_path / "moved")
    assert Path(read_info(moved).folder) == moved / "weights"


def _pip_that_gives(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "w-1-py3-none-any.whl", "w") as wheel:
            for name in names:
                wheel.writestr(name, "x")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fetch.subprocess, "run", run)


@pytest.mark.parametrize("names", [("a.txt",), ("a.gguf", "b.gguf")], ids=["none", "two"])
def test_a_wheel_must_hold_one_gguf_file(
    names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _pip_that_gives(monkeypatch, *names)
    with pytest.raises(UserError, match=r"models\.m\.file: '\*\.gguf' matches"):
        fetch_model("m", ModelSource(pip="w==1"), tmp_path / "m")
    assert not any((tmp_path / "m").iterdir())


def test_a_wheel_that_pip_cannot_reach_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "ERROR: No matching distribution found for w==1\n")

    monkeypatch.setattr(fetch.subprocess, "run", run)
    with pytest.raises(UserError, match=r"models\.m\.pip: cannot download 'w==1' \(ERROR: No matching"):
        fetch_model("m", ModelSource(pip="w==1"), tmp_path / "m")


@pytest.mark.model
def test_smollm2_from_its_wheel(smollm2_dir: Path) -> None:
    from transformers import AutoTokenizer

    info = read_info(smollm2_dir)
    # the published config of SmolLM2-135M-Instruct
    assert (info.layers, info.heads, info.kv_heads, info.head_dim, info.hidden) == (30, 9, 3, 64, 576)
    assert (info.architecture, info.max_length_tok) == ("LlamaForCausalLM", 8192)
    tokenizer = AutoTokenizer.from_pretrained(info.folder)
    # its published tokenizer splits numbers into digits
    assert tokenizer.tokenize("a 2048") == ["a", "Ġ", "2", "0", "4", "8"]
    assert "<|im_start|>assistant" in tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert sorted(p.name for p in smollm2_dir.iterdir()) == ["model.json", "weights"]
