"""Packs documents of a question among distractor documents, numbered, to the length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from sparsebench.corpora.formats import Corpus, Document, Format, Question, read_corpus, shipped
from sparsebench.errors import UserError
from sparsebench.tasks.draw import Draw, stable_seed
from sparsebench.tasks.haystack import arrange
from sparsebench.tasks.window import LEAST_FILL, Window, too_short

_FRAME_TOK = 256
"""What instruction, question, options and chat template may take beside the documents at the shortest length."""

_LEAST_CUT_TOK = 12
"""A shorter beginning of a document is not worth its heading."""


@dataclass(frozen=True)
class Packed:
    """The context, the character offset of each document asked about, and the numbers they bear."""

    context: str
    offsets: tuple[int, ...]
    numbers: tuple[int, ...]


def open_corpus(corpus: str, form: Format) -> Corpus:
    """Corpus by path; ``shipped`` names the small one that comes with the package."""
    return read_corpus(shipped(form) if corpus == "shipped" else Path(corpus), form)


def corpus_files(corpus: str) -> tuple[str, ...]:
    """What has to be fetched before ``corpus`` can be opened."""
    return () if corpus == "shipped" else (corpus,)


def _heading(number: int, document: Document) -> str:
    return f"Document {number}: {document.title}\n" if document.title else f"Document {number}:\n"


def _after_break(window: Window, text: str) -> int:
    """Tokens of ``text`` at the beginning of a line: some tokenizers begin a whole text otherwise."""
    return window.count(f"\n{text}") - window.count("\n")


def _size(window: Window, number: int, document: Document) -> int:
    """Tokens of a document with its heading; its text is encoded only once for all samples."""
    # Blank lines may be split otherwise before a word than at the end of a text.
    body = _after_break(window, f"{document.text}\n\nDocument") - _after_break(window, "Document")
    return _after_break(window, _heading(number, document)) + body


def choose_question(draw: Draw, window: Window, corpus: Corpus, shortest_tok: int, task: str) -> Question:
    """Question of this sample: a random one of those whose documents fit into a prompt of ``shortest_tok`` tokens.

    The choice does not depend on the length, so that lengths compare the same questions; no question comes twice
    before all have come once.
    """
    if window.length_tok < shortest_tok:
        raise UserError(
            f"task {task}: length {window.length_tok} is below shortest_tok ({shortest_tok}), which decides the "
            "questions of all lengths; set shortest_tok to the shortest length of the config"
        )
    order = list(range(len(corpus.questions)))
    Random(stable_seed("order", draw.series)).shuffle(order)
    limit = LEAST_FILL * shortest_tok - _FRAME_TOK
    sizes = [_size(window, 100, document) for document in corpus.documents]
    fit = [i for i in order if sum(sizes[place] for place in corpus.questions[i].documents) <= limit]
    if not fit:
        least = min(sum(sizes[place] for place in question.documents) for question in corpus.questions)
        raise UserError(
            f"task {task}: no question of the corpus has documents that fit a prompt of shortest_tok ({shortest_tok}) "
            f"with this tokenizer: the shortest needs about {int((least + _FRAME_TOK) / LEAST_FILL) + 1} tokens; "
            "set a longer shortest_tok"
        )
    return corpus.questions[fit[draw.index % len(fit)]]


def pack(
    draw: Draw,
    window: Window,
    corpus: Corpus,
    gold: Sequence[int],
    frame: str,
    answer_prefix: str,
    task: str,
    related: Sequence[int] = (),
) -> Packed:
    """Fill what ``frame`` leaves of the window with the documents ``gold`` and random others, ``related`` ones first.

    The last distractor is cut at the end of a word to fill the length; the documents asked about never are.
    """
    chosen = [corpus.documents[place] for place in gold]
    asked = sum(_size(window, i, document) for i, document in enumerate(chosen, start=1))
    room = window.room(frame, answer_prefix, reserve=asked + len(gold))
    if room < 0:
        raise too_short(task, window, window.length_tok - room)
    others, counts = _distractors(draw, window, corpus, gold, related, room)
    left = room - sum(counts)
    if left > (1 - LEAST_FILL) * window.length_tok:
        raise UserError(
            f"task {task}: the corpus has only about {window.length_tok - left} tokens of documents, too few for "
            f"length {window.length_tok}; name a larger corpus or a shorter length in the config"
        )
    parts: list[str] = []
    offsets, numbers = [0] * len(gold), [0] * len(gold)
    length = 0
    for number, (is_gold, i) in enumerate(arrange(counts, draw.depths(len(gold))), start=1):
        document = chosen[i] if is_gold else others[i]
        text = f"{_heading(number, document)}{document.text}\n\n"
        if is_gold:
            offsets[i], numbers[i] = length, number
        parts.append(text)
        length += len(text)
    return Packed("".join(parts).rstrip(), tuple(offsets), tuple(numbers))


def _distractors(
    draw: Draw, window: Window, corpus: Corpus, gold: Sequence[int], related: Sequence[int], room: int
) -> tuple[list[Document], list[int]]:
    others: list[Document] = []
    counts: list[int] = []
    first = draw.sample(related, len(related))
    places = list(range(len(corpus.documents)))
    draw.shuffle(places)
    taken = {*gold, *first}
    for place in [*first, *(place for place in places if place not in taken)]:
        document = corpus.documents[place]
        # Which number a document gets is settled later; the numbers of all together are these.
        number = len(gold) + 1 + len(others)
        size = _size(window, number, document)
        if size > room:
            heading = _after_break(window, _heading(number, document))
            if room - heading >= _LEAST_CUT_TOK:
                others.append(Document(document.title, window.cut(document.text, room - heading - 2)))
                counts.append(room)
            break
        others.append(document)
        counts.append(size)
        room -= size
    if related:  # they were taken first, and must not all stand first
        order = draw.sample(range(len(others)), len(others))
        others, counts = [others[i] for i in order], [counts[i] for i in order]
    return others, counts
