"""Reads question-answering corpora in the formats in which they are published."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from sparsebench.errors import UserError

Format = Literal["squad", "hotpotqa", "quality", "toefl"]


@dataclass(frozen=True)
class Document:
    """A text that questions may be asked about; ``title`` may be empty."""

    title: str
    text: str


@dataclass(frozen=True)
class Question:
    """A question about the documents of the given indices.

    ``answers`` are references (any of which is right) if ``options`` is empty, else the letters of all right options.
    ``related`` are documents that could be mistaken for its own: paragraphs of the same article (squad), the
    distractors that come with it (hotpotqa).
    """

    text: str
    documents: tuple[int, ...]
    answers: tuple[str, ...]
    options: tuple[str, ...] = ()
    related: tuple[int, ...] = ()


@dataclass(frozen=True)
class Corpus:
    """Documents, each once, and questions on them."""

    documents: tuple[Document, ...]
    questions: tuple[Question, ...]


class _Builder:
    def __init__(self) -> None:
        self.index: dict[Document, int] = {}
        self.questions: dict[tuple[str, tuple[int, ...]], Question] = {}

    def document(self, title: str, text: str) -> int:
        return self.index.setdefault(Document(" ".join(title.split()), text.strip()), len(self.index))

    def question(self, question: Question) -> None:
        # Some corpora repeat a question on the same document.
        self.questions.setdefault((question.text.lower(), question.documents), question)

    def corpus(self) -> Corpus:
        return Corpus(tuple(self.index), tuple(self.questions.values()))


def _squad(content: str, build: _Builder) -> None:
    for article in json.loads(content)["data"]:
        title = article["title"].replace("_", " ")
        places = [build.document(title, paragraph["context"]) for paragraph in article["paragraphs"]]
        for place, paragraph in zip(places, article["paragraphs"], strict=True):
            related = tuple(other for other in dict.fromkeys(places) if other != place)
            for entry in paragraph["qas"]:
                answers = tuple(dict.fromkeys(answer["text"] for answer in entry["answers"]))
                if answers and not entry.get("is_impossible"):
                    build.question(Question(entry["question"].strip(), (place,), answers, related=related))


def _hotpotqa(content: str, build: _Builder) -> None:
    for entry in json.loads(content):
        places = {title: build.document(title, "".join(lines)) for title, lines in entry["context"]}
        needed = tuple(dict.fromkeys(places[title] for title, _ in entry["supporting_facts"] if title in places))
        if needed:
            related = tuple(place for place in dict.fromkeys(places.values()) if place not in needed)
            build.question(Question(entry["question"].strip(), needed, (entry["answer"],), related=related))


def _lines(content: str) -> Iterable[dict[str, Any]]:
    return (json.loads(line) for line in content.splitlines() if line.strip())


def _quality(content: str, build: _Builder) -> None:
    for entry in _lines(content):
        place = build.document(entry.get("title", ""), entry["article"])
        for question in entry["questions"]:
            options = tuple(option.strip() for option in question["options"])
            # gold_label counts from 1.
            letter = chr(ord("A") + int(question["gold_label"]) - 1)
            build.question(Question(question["question"].strip(), (place,), (letter,), options))


_OPTION = re.compile(r"(?:^|\s)([A-H])\.(?=\S)")


def _toefl(content: str, build: _Builder) -> None:
    for entry in _lines(content):
        place = build.document("", entry["context"])
        for line, letters in zip(entry["questions"], entry["answer"], strict=True):
            text, _, listed = line.removeprefix("Question:").partition("Options:")
            parts = _OPTION.split(listed)
            options = tuple(part.strip() for part in parts[2::2])
            if parts[1::2] != [chr(ord("A") + i) for i in range(len(options))] or len(options) < 2:
                raise ValueError(f"options are not lettered from A on in {line!r}")
            build.question(Question(text.strip(), (place,), tuple(sorted(set(letters))), options))


_READERS: dict[str, Callable[[str, _Builder], None]] = {
    "squad": _squad,
    "hotpotqa": _hotpotqa,
    "quality": _quality,
    "toefl": _toefl,
}


def shipped(form: Format) -> Path:
    """The small corpus in format ``form`` that ships with the package, written for this project."""
    return Path(__file__).parent / "fixtures" / f"{form}.json"


def read_corpus(path: Path, form: Format) -> Corpus:
    """Read a corpus; remembered until the file changes.

    Raises
    ------
    UserError
        If the file is missing or not in the published format.
    """
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        raise UserError(
            f"corpus {path}: no such file; it is made by fetching the corpus, or name a file of yours under "
            f"`corpora: {{{form}: path}}` in the config"
        ) from None
    return _read(path, form, changed)


@lru_cache(maxsize=4)
def _read(path: Path, form: Format, changed: int) -> Corpus:
    build = _Builder()
    try:
        _READERS[form](path.read_text(encoding="utf-8"), build)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(f"corpus {path}: not in the published format of {form} ({error!r})") from None
    corpus = build.corpus()
    if not corpus.questions:
        raise UserError(f"corpus {path}: holds no question that has an answer")
    return corpus
