"""Digests follow imports, not places on disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sparsebench import source
from sparsebench.engine.digest import engine_digest
from sparsebench.source import PACKAGE, source_digest, source_files


def names(*roots: Path, without: Path | None = None) -> set[str]:
    return {str(p.relative_to(PACKAGE)) for p in source_files(*roots, without=without)}


def test_imports_are_followed_wherever_they_stand() -> None:
    found = names(PACKAGE / "engine" / "infer.py")
    assert "engine/infer.py" in found
    assert "engine/journal.py" in found  # imported at the top
    assert "selection.py" in found  # imported by something that is imported
    assert "errors.py" in names(PACKAGE / "engine" / "journal.py")  # imported within a function


def test_a_folder_can_be_left_out() -> None:
    assert not any(
        n.startswith("methods/") for n in names(PACKAGE / "engine" / "infer.py", without=PACKAGE / "methods")
    )


def test_a_method_digest_knows_its_own_file_only(tmp_path: Path) -> None:
    quest, snapkv = PACKAGE / "methods" / "quest.py", PACKAGE / "methods" / "snapkv.py"
    assert "methods/snapkv.py" not in names(quest)
    assert source_digest(quest) != source_digest(snapkv)


def test_content_counts_and_place_does_not(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text("x = 1\n")
    first, second = tmp_path / "a" / "mine.py", tmp_path / "b" / "mine.py"
    assert source_digest(first) == source_digest(second)
    before = source_digest(first)
    first.touch()
    assert source_digest(first) == before
    first.write_text("x = 2\n")
    assert source_digest(first) != before


def test_an_outside_file_may_lie_before_the_package_or_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "PACKAGE", tmp_path / "m" / "sparsebench")
    for name, text in (("a/mine.py", "import sparsebench.b\n"), ("z/mine.py", "import sparsebench.b\n"),
                       ("m/sparsebench/b.py", "x = 1\n")):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    assert len(source_files(tmp_path / "a/mine.py")) == 2
    assert source_digest(tmp_path / "a/mine.py") == source_digest(tmp_path / "z/mine.py")


def test_an_outside_file_pulls_in_what_it_imports(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("from sparsebench.methods.quest import Quest\n")
    assert PACKAGE / "methods" / "quest.py" in source_files(mine)


def test_engine_digest_covers_kernels_and_no_method() -> None:
    from sparsebench.engine import digest

    files = names(*(PACKAGE / "engine" / f"{n}.py" for n in digest._NUMERIC), without=PACKAGE / "methods")
    assert {"engine/attention.py", "kernels/sparse_decode_ref.py", "kernels/block_sparse_ref.py"} <= files
    assert not any(f.startswith("methods/") for f in files)
    assert "engine/journal.py" not in files
    assert len(engine_digest()) == 16


def test_digesting_needs_no_torch() -> None:
    code = "import sys, sparsebench.engine.digest as d; d.engine_digest(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
