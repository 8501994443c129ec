"""Fetching: verified, resumed, put in place at once, replaced by local copies."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sparsebench.corpora.fetch import check_overrides, fetch_corpus, read_sources
from sparsebench.corpora.formats import read_corpus, shipped
from sparsebench.errors import UserError

CONTENT = shipped("squad").read_bytes()
SOURCES = Path(__file__).parents[2] / "resources" / "sources.tsv"


class Server(ThreadingHTTPServer):
    """Serves CONTENT with ranges on this machine; ``breaks`` connections end early first."""

    breaks = 0
    ranges: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        if self.path == "/missing":
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks:
            self.server.breaks -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("SPARSEBENCH_RETRY_PAUSE_S", "0.01")
    server = Server(("127.0.0.1", 0), Handler)
    server.ranges = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def sources(tmp_path: Path, url: str, sha256: str = "", form: str = "squad") -> Path:
    path = tmp_path / "sources.tsv"
    path.write_text(f"name\tformat\turl\tsha256\tlicence\tcitation\nmine\t{form}\t{url}\t{sha256}\tCC0\tnobody\n")
    return path


def address(server: Server, path: str = "/file") -> str:
    return f"http://127.0.0.1:{server.server_address[1]}{path}"


def test_a_corpus_is_fetched_and_verified(server: Server, tmp_path: Path) -> None:
    output = tmp_path / "corpora" / "mine.json"
    digest = hashlib.sha256(CONTENT).hexdigest()
    fetch_corpus("mine", output, sources(tmp_path, address(server), digest))
    assert output.read_bytes() == CONTENT and list(output.parent.iterdir()) == [output]
    assert len(read_corpus(output, "squad").questions) == 300


def test_broken_downloads_go_on_where_they_stopped(server: Server, tmp_path: Path) -> None:
    server.breaks = 2
    output = tmp_path / "mine.json"
    fetch_corpus("mine", output, sources(tmp_path, address(server), hashlib.sha256(CONTENT).hexdigest()))
    assert output.read_bytes() == CONTENT
    half = len(CONTENT) // 2
    assert server.ranges[:2] == [None, f"bytes={half}-"] and len(server.ranges) == 3


def test_a_whole_partial_file_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".mine.json.partial").write_bytes(CONTENT)
    output = tmp_path / "mine.json"
    fetch_corpus("mine", output, sources(tmp_path, address(server), hashlib.sha256(CONTENT).hexdigest()))
    assert output.read_bytes() == CONTENT and server.ranges == [f"bytes={len(CONTENT)}-"]


def test_a_wrong_digest_leaves_nothing_behind(server: Server, tmp_path: Path) -> None:
    output = tmp_path / "out" / "mine.json"
    with pytest.raises(UserError, match=f"sources of this version say {'0' * 64}"):
        fetch_corpus("mine", output, sources(tmp_path, address(server), "0" * 64))
    assert list(output.parent.iterdir()) == []


def test_a_corpus_that_is_not_pinned_is_held_to_its_first_fetch(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "mine.json"
    fetch_corpus("mine", output, sources(tmp_path, address(server)))
    record = tmp_path / "mine.json.sha256"
    assert record.read_text() == hashlib.sha256(CONTENT).hexdigest() + "\n"
    assert "is not pinned" in caplog.text and "recorded" in caplog.text
    output.unlink()
    fetch_corpus("mine", output, sources(tmp_path, address(server)))
    assert output.read_bytes() == CONTENT
    output.unlink()
    monkeypatch.setitem(globals(), "CONTENT", CONTENT.replace(b"?", b"!"))
    with pytest.raises(UserError, match=r"the first fetch, recorded in .*mine\.json\.sha256, had"):
        fetch_corpus("mine", output, sources(tmp_path, address(server)))
    assert not output.exists() and record.exists()


def test_a_page_in_place_of_the_file_is_neither_kept_nor_recorded(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As networks answer that want a login first: the true file must still be accepted later."""
    true = CONTENT
    monkeypatch.setitem(globals(), "CONTENT", b"<html>Please log in.</html>")
    output = tmp_path / "out" / "mine.json"
    with pytest.raises(UserError, match=r"corpus mine: .*/file .* not in the published format of squad"):
        fetch_corpus("mine", output, sources(tmp_path, address(server)))
    assert list(output.parent.iterdir()) == []
    monkeypatch.setitem(globals(), "CONTENT", true)
    fetch_corpus("mine", output, sources(tmp_path, address(server)))
    assert output.read_bytes() == true


def test_an_unreachable_source_names_the_way_out(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot fetch .*404.*corpora: \{mine: path\}|cannot fetch .*name a copy"):
        fetch_corpus("mine", tmp_path / "mine.json", sources(tmp_path, address(server, "/missing")))
    assert len(server.ranges) == 1, "a refusal is not asked again"


def test_a_local_copy_needs_no_network(tmp_path: Path) -> None:
    copy = tmp_path / "my.json"
    copy.write_bytes(CONTENT)
    output = tmp_path / "mine.json"
    fetch_corpus("mine", output, sources(tmp_path, "http://127.0.0.1:9/none"), {"mine": str(copy)})
    assert output.read_bytes() == CONTENT
    fetch_corpus("mine", output, sources(tmp_path, "http://127.0.0.1:9/none"), {"mine": "shipped"})
    assert output.read_bytes() == CONTENT


def test_a_local_copy_in_another_format_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "my.json"
    copy.write_text("not json")
    with pytest.raises(UserError, match="not in the published format"):
        fetch_corpus("mine", tmp_path / "out.json", sources(tmp_path, "http://127.0.0.1:9/"), {"mine": str(copy)})
    assert not (tmp_path / "out.json").exists()


def test_the_shipped_sources_are_complete() -> None:
    found = read_sources(SOURCES)
    assert set(found) == {"squad", "hotpotqa", "quality", "toefl"}
    for source in found.values():
        assert source.url.startswith("http") and source.licence and source.citation
        # No digest of QuALITY could be verified; fetching records the first one.
        assert len(source.sha256) == (0 if source.name == "quality" else 64)
    assert found["squad"].sha256.startswith("95aa6a52")  # as the publishers of several data loaders state it


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\n", "columns"),
        ("name\tformat\turl\tsha256\tlicence\tcitation\nx\tsquad\n", "line 2: expected 6 columns"),
        ("name\tformat\turl\tsha256\tlicence\tcitation\nx\tsqad\tu\t\tl\tc\n", "did you mean 'squad'"),
    ],
)
def test_mistakes_in_the_sources_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "sources.tsv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_sources(path)


def test_names_of_local_copies_are_checked() -> None:
    check_overrides({"squad": "x", "toefl": "shipped"}, SOURCES)
    with pytest.raises(UserError, match="corpora: unknown corpus 'qualty'; did you mean 'quality'"):
        check_overrides({"squad": "x", "qualty": "y"}, SOURCES)


def test_a_missing_local_copy_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"/nowhere/dev\.json: no such file"):
        fetch_corpus("squad", tmp_path / "x", SOURCES, {"squad": "/nowhere/dev.json"})


def test_an_unknown_corpus_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'squad'"):
        fetch_corpus("sqad", tmp_path / "x", SOURCES)
