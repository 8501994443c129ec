"""Corpora are read in the formats in which they are published."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sparsebench.corpora.formats import read_corpus, shipped
from sparsebench.errors import UserError


def test_squad_layout(tmp_path: Path) -> None:
    """Layout of the official files: repeated annotations are one reference, repeated questions one question."""
    qa = {"id": "1", "question": " Who? ", "answers": [{"text": "Ann", "answer_start": 0}] * 2 + [{"text": "Ann B"}]}
    impossible = {"id": "2", "question": "Why?", "answers": [], "is_impossible": True}
    paragraph = {"context": "Ann B came.", "qas": [qa, qa, impossible]}
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"version": "1.1", "data": [{"title": "A_town", "paragraphs": [paragraph]}]}))
    corpus = read_corpus(path, "squad")
    assert [(d.title, d.text) for d in corpus.documents] == [("A town", "Ann B came.")]
    assert [(q.text, q.documents, q.answers) for q in corpus.questions] == [("Who?", (0,), ("Ann", "Ann B"))]


def test_squad_paragraphs_of_one_article_are_related(tmp_path: Path) -> None:
    def paragraph(text: str) -> dict[str, object]:
        return {"context": text, "qas": [{"question": f"{text}?", "answers": [{"text": text}]}]}

    articles = [("X", ["a", "b", "c", "b"]), ("Y", ["d"])]
    data = [{"title": title, "paragraphs": [paragraph(text) for text in texts]} for title, texts in articles]
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"data": data}))
    related = {question.text: question.related for question in read_corpus(path, "squad").questions}
    assert related == {"a?": (1, 2), "b?": (0, 2), "c?": (0, 1), "d?": ()}


def test_hotpotqa_needs_the_supporting_documents_only(tmp_path: Path) -> None:
    entry = {
        "question": "Where was the founder born?",
        "answer": "Rome",
        "supporting_facts": [["B", 0], ["A", 1], ["B", 1]],
        "context": [["A", ["one. ", "two."]], ["C", ["three."]], ["B", ["four."]]],
    }
    path = tmp_path / "hotpot.json"
    path.write_text(json.dumps([entry]))
    corpus = read_corpus(path, "hotpotqa")
    assert [d.text for d in corpus.documents] == ["one. two.", "three.", "four."]
    assert corpus.questions[0].documents == (2, 0) and corpus.questions[0].answers == ("Rome",)
    assert corpus.questions[0].related == (1,)


def test_quality_labels_count_from_one(tmp_path: Path) -> None:
    question = {"question": "Why?", "options": ["w", "x", "y", "z"], "gold_label": 3}
    path = tmp_path / "quality.jsonl"
    path.write_text(json.dumps({"title": "T", "article": "Long text.", "questions": [question]}) + "\n\n")
    corpus = read_corpus(path, "quality")
    assert corpus.questions[0].answers == ("C",) and corpus.questions[0].options == ("w", "x", "y", "z")


def test_toefl_options_stand_in_the_question(tmp_path: Path) -> None:
    line = {
        "context": " hello .\n bye .",
        "questions": ["Question: at what time? Options: A.at 8 a.m. sharp B.by 5 p.m. C.it is U. S. time D.never "],
        "answer": ["DA"],
    }
    path = tmp_path / "toefl.jsonl"
    path.write_text(json.dumps(line))
    (question,) = read_corpus(path, "toefl").questions
    assert question.text == "at what time?"
    assert question.options == ("at 8 a.m. sharp", "by 5 p.m.", "it is U. S. time", "never")
    assert question.answers == ("A", "D")


@pytest.mark.parametrize("form", ["squad", "hotpotqa", "quality", "toefl"])
def test_shipped_corpora_hold_their_answers(form: str) -> None:
    corpus = read_corpus(shipped(form), form)  # type: ignore[arg-type]
    assert len(corpus.documents) >= 20 and len(corpus.questions) >= 40
    for question in corpus.questions:
        texts = [corpus.documents[place].text for place in question.documents]
        if question.options:
            assert len(set(question.options)) == len(question.options) == 4
            assert all("A" <= letter <= "D" for letter in question.answers)
        else:
            assert all(any(answer in text for text in texts) for answer in question.answers)


@pytest.mark.parametrize(
    ("form", "content", "message"),
    [
        ("squad", "{", "not in the published format of squad"),
        ("squad", '{"data": []}', "holds no question"),
        ("quality", '{"article": "x"}', "not in the published format of quality"),
        (
            "toefl",
            '{"context": "x", "questions": ["Question: a? Options: B.x A.y "], "answer": ["A"]}',
            "lettered from A",
        ),
        ("toefl", '{"context": "x", "questions": [], "answer": ["A"]}', "not in the published format"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, form: str, content: str, message: str) -> None:
    path = tmp_path / "corpus"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_corpus(path, form)  # type: ignore[arg-type]


def test_a_missing_corpus_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such file; .*corpora: \{squad: path\}"):
        read_corpus(tmp_path / "none", "squad")


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "corpus"
    for word in ("one", "two"):
        qa = {"question": f"{word}?", "answers": [{"text": word}]}
        path.write_text(json.dumps({"data": [{"title": "", "paragraphs": [{"context": word, "qas": [qa]}]}]}))
        os.utime(path, ns=(0, len(path.read_text()) + ord(word[0])))
        assert read_corpus(path, "squad").questions[0].text == f"{word}?"
