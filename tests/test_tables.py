"""Tables on disk: whole or absent, checked when read."""

from __future__ import annotations

from pathlib import Path

import polars
import pyarrow as pa
import pytest

from sparsebench import tables
from sparsebench.errors import UserError
from sparsebench.tables import SCORES, read_table, write_table

_EXAMPLE = {pa.string(): "x", pa.int32(): 3, pa.float64(): 0.5, pa.bool_(): True, pa.list_(pa.int32()): [3]}


def one_row() -> pa.Table:
    return pa.Table.from_pylist([{f.name: _EXAMPLE[f.type] for f in SCORES}], schema=SCORES)


def test_round_trip_keeps_values_and_provenance(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "scores.arrow"
    write_table(one_row(), path, {"device": "CPU"})
    read = read_table(path, SCORES)
    assert read.to_pylist() == one_row().to_pylist()
    assert read.schema.metadata[b"device"] == b"CPU"
    assert polars.read_ipc(path).to_dicts() == one_row().to_pylist()
    assert [p.name for p in path.parent.iterdir()] == ["scores.arrow"]


def test_every_column_says_what_it_is_and_quantities_their_unit() -> None:
    schemas = {name: s for name, s in vars(tables).items() if isinstance(s, pa.Schema)}
    assert {"SAMPLES", "PREDICTIONS", "SCORES"} <= set(schemas)
    for name, schema in schemas.items():
        for field in schema:
            assert field.metadata[b"about"], f"{name}.{field.name}"
            if field.name.endswith("_tok"):
                assert b"token" in field.metadata[b"unit"], f"{name}.{field.name}"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scores.arrow"
    write_table(one_row(), path)
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(tables.io.feather, "write_feather", full)
    with pytest.raises(OSError, match="no space"):
        write_table(one_row(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["scores.arrow"]


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text"])
def test_damaged_files_are_named_with_the_remedy(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "scores.arrow"
    if damage != "missing":
        write_table(one_row(), path)
        content = path.read_bytes()
        path.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "text": b"hello"}[damage])
    with pytest.raises(UserError, match=r"scores\.arrow: .*delete it and run again"):
        read_table(path, SCORES)


def test_tables_of_another_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "scores.arrow"
    write_table(one_row().drop_columns(["metric"]), path)
    with pytest.raises(UserError, match="another version"):
        read_table(path, SCORES)
