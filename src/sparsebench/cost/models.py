"""The table of models: what each is, and what its cost follows from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from sparsebench.models.info import read_info
from sparsebench.tables import MODELS


def models_table(folders: Sequence[Path], tokenizers: Mapping[str, str]) -> pa.Table:
    """One row per fetched model (``MODELS``).

    Parameters
    ----------
    folders
        Folders with ``model.json``.
    tokenizers
        Label of the model whose tokenizer each uses; those not named use their own.
    """
    from sparsebench.cost.shape import ModelShape

    rows = []
    for folder in folders:
        info = read_info(folder)
        shape = ModelShape.from_folder(Path(info.folder), info.name, info.rope)
        rows.append(
            {
                "model": info.name,
                "tokenizer": tokenizers.get(info.name, info.name),
                "source": info.source,
                "architecture": info.architecture,
                **asdict(shape),
                "kv_bytes_per_tok": shape.kv_bytes_per_tok,
            }
        )
    return pa.Table.from_pylist(rows, schema=MODELS)


def tokenizers_of(models: pa.Table) -> dict[str, str]:
    """Model -> the model whose tokenizer, and so whose samples, it uses (from ``MODELS``)."""
    return dict(zip(models["model"].to_pylist(), models["tokenizer"].to_pylist(), strict=True))
