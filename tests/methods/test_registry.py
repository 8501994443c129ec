"""Methods by name and by file, and what is said about wrong ones."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from sparsebench.errors import UserError
from sparsebench.methodfiles import METHOD_FOLDER, method_file
from sparsebench.methods import load_method, method_classes, method_phases
from sparsebench.methods.base import DecodeMethod
from sparsebench.methods.quest import Quest
from sparsebench.methods.snapkv import SnapKV
from sparsebench.source import source_digest
from sparsebench.spec import MethodSpec

EXTERNAL = """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
from sparsebench.methods.base import Axes, PrefillMethod
from sparsebench.selection import Everything

@dataclass(frozen=True)
class Mine(PrefillMethod):
    knob: float = 0.5
    name: ClassVar[str] = "mine"
    title: ClassVar[str] = "Mine"
    axes: ClassVar[Axes] = Axes(unit="none", importance="none", budget="all", cache="full")
    source: ClassVar[str] = "nowhere"

    def select(self, q, k, budget, layer):
        return Everything()

    def estimation_flops(self, length, shape):
        return 0.0
"""


def spec(method: str, **params: object) -> MethodSpec:
    return MethodSpec(label="L", method=method, params=params)


def test_loads_by_name_with_parameters() -> None:
    assert load_method(spec("quest", page=32), "decode") == Quest(page=32)
    assert load_method(spec("snapkv", pooling="avg"), "decode") == SnapKV(pooling="avg")
    assert load_method(spec("flexprefill", tau=1), "prefill").tau == 1.0  # type: ignore[attr-defined]
    assert {load_method(spec("oracle"), phase).phase for phase in ("prefill", "decode")} == {"prefill", "decode"}


@pytest.mark.parametrize(
    ("method", "params", "phase", "message"),
    [
        ("qest", {}, "decode", r"decode method 'L': unknown method 'qest'; did you mean 'quest'\? \(allowed: .*snapkv"),
        ("quest", {}, "prefill", r"'quest' is a decode method and cannot serve prefill; list it under decode"),
        ("flexprefill", {}, "decode", r"list it under prefill \(allowed under decode: ada_snapkv, "),
        ("quest", {"pag": 16}, "decode", r"unknown parameter 'pag'; did you mean 'page'\? \(allowed: page\)"),
        ("dense", {"page": 16}, "decode", r"unknown parameter 'page' \(allowed: none\)"),
        ("quest", {"page": "16"}, "decode", r"page: '16'; input should be a valid integer"),
        ("quest", {"page": True}, "decode", r"page: True; input should be a valid integer"),
        ("quest", {"page": 17}, "decode", r"method 'L': quest: page 17 tokens; allowed: 16, 32, 64, 128"),
        ("snapkv", {"pooling": "mean"}, "decode", r"pooling: 'mean'; input should be 'max' or 'avg'"),
        (
            "snapkv",
            {"kernel": 1.5, "windo": 3},
            "decode",
            r"kernel: 1.5; .*; unknown parameter 'windo'; did you mean 'window'",
        ),
        ("no/such.py:Mine", {}, "prefill", r"no file 'no/such.py'"),
        ("no/such.py", {}, "prefill", r"path/to/file.py:Class"),
    ],
)
def test_says_what_is_wrong(method: str, params: dict[str, object], phase: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_method(spec(method, **params), phase)  # type: ignore[call-overload]


def test_loads_from_a_file_outside_the_package(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(EXTERNAL)
    method = load_method(spec(f"{path}:Mine", knob=0.7), "prefill")
    assert method.name == "mine" and method.knob == 0.7  # type: ignore[attr-defined]
    assert ("prefill", "mine") not in method_classes()
    for given, phase, message in (
        (f"{path}:Mind", "prefill", "unknown class 'Mind'; did you mean 'Mine'"),
        (f"{path}:Mine", "decode", "is a prefill method and cannot serve decode"),
    ):
        with pytest.raises(UserError, match=message):
            load_method(spec(given), phase)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (EXTERNAL.replace("def select", "def choose"), "unknown class 'Mine'"),
        (EXTERNAL.replace('title: ClassVar[str] = "Mine"', ""), "does not state its title"),
        (EXTERNAL.replace("estimation_flops", "flops"), "does not state its estimation_flops"),
        (EXTERNAL.replace("@dataclass(frozen=True)\n", ""), r"does not state its @dataclass\(frozen=True\)"),
        ("import nothing_of_that_name", "cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_says_what_is_wrong_with_a_file(tmp_path: Path, source: str, message: str) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(source)
    with pytest.raises(UserError, match=message):
        load_method(spec(f"{path}:Mine"), "prefill")


def test_every_method_is_found_in_its_file_without_importing_it() -> None:
    for (_, name), found in method_classes().items():
        assert method_file(spec(name)) == Path(inspect.getfile(found))


def test_method_file_is_what_digests_cover(tmp_path: Path) -> None:
    assert method_file(spec("quest")) == METHOD_FOLDER / "quest.py"
    assert source_digest(method_file(spec("quest"))) != source_digest(method_file(spec("snapkv")))
    path = tmp_path / "mine.py"
    path.write_text(EXTERNAL)
    before = source_digest(method_file(spec(f"{path}:Mine")))
    path.write_text(EXTERNAL + "# edited\n")
    assert source_digest(method_file(spec(f"{path}:Mine"))) != before
    with pytest.raises(UserError, match="did you mean 'quest'"):
        method_file(spec("qest"))


def test_two_methods_of_one_name_and_incomplete_ones_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(Quest):
        pass

    class Nameless(DecodeMethod):
        prepare = select = Quest.select  # type: ignore[assignment]

    for classes, message in (
        (
            [Quest, Other],
            "Other is the decode method 'quest', and so is Quest in quest.py; give one of them another name",
        ),
        ([Nameless], "Nameless does not state its name, title, axes, source, metadata_bytes, preparation_flops"),
    ):
        monkeypatch.setattr("sparsebench.methods.registry._methods_in", lambda _, classes=classes: classes)
        with pytest.raises(UserError, match=message):
            method_classes.__wrapped__()


def test_the_phases_of_a_name_and_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(EXTERNAL)
    assert method_phases(spec(f"{path}:Mine")) == ["prefill"]
    assert sorted(method_phases(spec("oracle"))) == ["decode", "prefill"] and method_phases(spec("qest")) == []
