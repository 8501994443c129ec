from __future__ import annotations

import base64
import gzip
import html
import io
import json
import re
from pathlib import Path

import polars as pl
import pyarrow.feather as feather
import pytest

from sparsebench.errors import UserError
from sparsebench.report.overview import write_overview
from sparsebench.tables import write_table
from tests.stats.synthetic import accuracy_of, frontier_of, scores_table

CONFIG = {
    "models": {"tiny-135m": {"path": "models/tiny"}},
    "tasks": {"niah_hex": {"task": "ruler_niah"}},
    "lengths": [1024],
    "samples": 20,
    "sparsity": [0.5],
    "prefill": {"vertical_slash": None, "oracle": None},
    "decode": {"quest": None, "snapkv": None},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    scores = scores_table(20)
    accuracy = accuracy_of(scores)
    stamp = {"versions": json.dumps({"torch": "2.13.0"}), "devices": "a <named> device"}
    for name, table in {"scores": scores, "accuracy": accuracy, "frontier": frontier_of(accuracy)}.items():
        write_table(table, folder / f"{name}.arrow", stamp)
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    output = folder.parent / "page" / "overview.html"
    write_overview(folder, json.dumps(CONFIG), output)
    assert [p.name for p in output.parent.iterdir()] == ["overview.html"]
    return output.read_text(encoding="utf-8")


def test_needs_no_network(page: str) -> None:
    # Links to papers may lead away; nothing that the page loads may.
    assert not re.search(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']?(?:https?:)?//", page)
    assert "@import" not in page


def unpacked(page: str) -> dict[str, str]:
    """What the page carries compressed, by the place that it goes to."""
    found = re.findall(r'<script type="application/gzip" data-kind="\w+" data-place="([^"]*)">([^<]*)</script>', page)
    assert len({place for place, _ in found}) == len(found)
    return {place: gzip.decompress(base64.b64decode(data)).decode() for place, data in found}


def test_page_fits_the_report_of_snakemake(page: str) -> None:
    assert len(base64.b64encode(page.encode())) < 2 * 2**20
    assert "window.vegaEmbed" in unpacked(page)[""]


def test_every_chart_is_drawn_or_its_absence_explained(page: str) -> None:
    from sparsebench.charts.registry import chart_names, load_chart

    shown = html.unescape(page).replace("\u00a0", " ")
    for name in chart_names():
        spec = unpacked(page).get(f"draw-{name}")
        if spec is None:
            assert re.search(rf"<li>{load_chart(name).TITLE}: No [^<]*\.</li>", shown)
        else:
            assert "$schema" in json.loads(spec)
            assert load_chart(name).CAPTION[:60] in shown


def test_every_link_within_the_page_leads_somewhere(page: str) -> None:
    links = set(re.findall(r'href="#([^"]+)"', page))
    ids = set(re.findall(r'id="([^"]+)"', page + "".join(unpacked(page).values())))
    assert len(links) > 20
    assert links <= ids


def test_downloads_hold_the_tables(page: str, folder: Path) -> None:
    links = dict(re.findall(r'<a download="([^"]+)" href="data:[^;]+;base64,([^"]+)"', page))
    assert set(links) == {f"{t}.{e}" for t in ("scores", "accuracy", "frontier") for e in ("arrow", "csv.gz")}
    assert base64.b64decode(links["frontier.arrow"]) == (folder / "frontier.arrow").read_bytes()
    frontier = feather.read_table(str(folder / "frontier.arrow"), memory_map=False)
    text = pl.read_csv(io.BytesIO(base64.b64decode(links["frontier.csv.gz"])), infer_schema_length=None)
    assert text["accuracy"].to_list() == pytest.approx(frontier["accuracy"].to_pylist())
    assert "scores" not in pl.read_csv(io.BytesIO(base64.b64decode(links["accuracy.csv.gz"]))).columns


def test_methods_state_their_axes(page: str) -> None:
    section = page[page.index('id="methods"') : page.index('id="downloads"')]
    assert "arxiv.org/abs/2406.10774" in section  # Quest
    assert "arxiv.org/abs/2404.14469" in section  # SnapKV
    assert section.count("<td>prefill</td>") == 2
    assert section.count("<td>decode</td>") == 2


def test_provenance(page: str) -> None:
    assert "a &lt;named&gt; device" in page
    assert "torch 2.13.0" in page
    assert "models/tiny" in page


def test_labels_cannot_break_out_of_scripts(tmp_path: Path) -> None:
    frame = pl.DataFrame(pl.from_arrow(scores_table(5, models=("</script><b>",), combine=False)))
    accuracy = accuracy_of(frame.filter(pl.col("length_tok") == 1024).to_arrow())
    write_table(accuracy, tmp_path / "accuracy.arrow")
    write_table(frontier_of(accuracy), tmp_path / "frontier.arrow")
    write_overview(tmp_path, json.dumps(CONFIG), tmp_path / "x.html")
    assert "</script><b>" not in (tmp_path / "x.html").read_text()


def test_missing_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"accuracy\.arrow"):
        write_overview(tmp_path, json.dumps(CONFIG), tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


def test_large_tables_are_named_but_not_embedded(folder: Path) -> None:
    from sparsebench.report.downloads import downloads

    every = downloads(folder, 10**9)
    assert all(d.uri for d in every)
    least = min(len(d.uri or "") for d in every)
    some = downloads(folder, least)
    assert [d.name for d in some] == [d.name for d in every]
    assert [d.uri is not None for d in some] == [len(d.uri or "") == least for d in every]
