"""Finds the answer in a text: first in the published format, then by documented relaxed rules."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

_LABEL = re.compile(r"^\s*(?:final\s+)?answers?\s*(?:is|are)?\s*[:：]\s*", re.IGNORECASE)

_BREAK = re.compile(r"\n[^\S\n]*\n\s*(?!\s|\d+[.)]|[-*•])")


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        found = _LABEL.sub("", line).strip().strip("*").strip()
        if found:
            yield found


def first_line(text: str) -> str:
    """First line that is not blank, without an "Answer:" in front of it and markdown stars around it."""
    return next(_lines(text), "")


def first_paragraph(text: str) -> str:
    """What stands before the first blank line that follows a word, unless an item of a list comes after it."""
    word = re.search(r"\w", text)
    end = _BREAK.search(text, word.start()) if word else None
    return text[: end.start()] if end else text


def normalise(text: str) -> str:
    """SQuAD's normalisation: lower case, no punctuation, no articles, single spaces.

    Source: the official evaluation of SQuAD v1.1 (arXiv:1606.05250, section 6.1). Unicode is brought to NFC first.
    """
    lowered = unicodedata.normalize("NFC", text).lower()
    bare = "".join(c for c in lowered if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def exact_match(prediction: str, references: Sequence[str]) -> float:
    """1 if the normalised prediction equals any normalised reference, else 0."""
    return float(any(normalise(prediction) == normalise(reference) for reference in references))


def token_f1(prediction: str, references: Sequence[str]) -> float:
    """Largest F1 over the references of the bags of normalised words."""
    return max(_f1(normalise(prediction).split(), normalise(reference).split()) for reference in references)


def _f1(predicted: list[str], gold: list[str]) -> float:
    common = sum((Counter(predicted) & Counter(gold)).values())
    return 2 * common / (len(predicted) + len(gold)) if common else 0.0


def holds_words(text: str, phrase: str) -> bool:
    """Whether the normalised words of ``phrase`` follow each other somewhere in the normalised words of ``text``."""
    wanted = normalise(phrase)
    return bool(wanted) and f" {wanted} " in f" {normalise(text)} "


def letters(text: str, options: Sequence[str], asked: int = 1) -> frozenset[str]:
    """Letters of the options that an answer chooses; empty if none can be found.

    Published format: the first line that is not blank lists option letters, e.g. ``B`` or ``A, D``. Relaxed, in this
    order: a letter before the text of its option (``B. A blue car``), the text alone, capital letters that stand alone
    (``The answer is (B).``), small ones before a bracket (``b)``), the text of exactly one option somewhere. A line
    that names several letters chooses all of them. Lines of the first two forms go on while fewer than ``asked``
    letters are found.
    """
    found: frozenset[str] = frozenset()
    for i, line in enumerate(_lines(text)):
        chosen = _listed(line, options) or (frozenset() if i else _told(line, options))
        if not chosen or len(found) >= asked:
            break
        found |= chosen
    return found


def _listed(line: str, options: Sequence[str]) -> frozenset[str]:
    """Letters of a line that holds nothing else, or one letter before the text of its option, which may be cut."""
    last = chr(ord("A") + len(options) - 1)
    compact = re.fullmatch(rf"\W*([A-{last}](?:[\s,;&/]*(?:and\s+)?[A-{last}])*)\W*", line, re.IGNORECASE)
    if compact:
        bare = re.sub(r"\band\b", "", compact[1], flags=re.IGNORECASE)
        # Without anything between them small letters are a word, such as "dad".
        if bare.isupper() or not re.search("[a-z]{2}", bare, re.IGNORECASE):
            return frozenset(c for c in bare.upper() if c.isalpha())
    labelled = re.match(rf"\W*([A-{last}])\W+(.+)", line)
    said = normalise(labelled[2]) if labelled else ""
    if labelled and said and normalise(options[ord(labelled[1]) - ord("A")]).startswith(said):
        return frozenset(labelled[1])
    return frozenset()


def _told(line: str, options: Sequence[str]) -> frozenset[str]:
    """Options that a sentence chooses."""
    last = chr(ord("A") + len(options) - 1)
    places = {chr(ord("A") + i): option for i, option in enumerate(options)}
    same = [letter for letter, option in places.items() if option.rstrip(".").lower() == line.rstrip(".").lower()]
    if len(same) == 1:
        return frozenset(same)
    # "A" may be the article: it counts only if what follows is not a noun.
    alone = re.findall(rf"(?<![\w'])([A-{last}])(?=\s*(?:[.,;:)\]*]|$|(?:and|or|is|are)\b))", line)
    if alone:
        return frozenset(alone)
    bracketed = re.findall(rf"(?<!\w)\(?([a-{last.lower()}])\)", line)
    if bracketed:
        return frozenset(letter.upper() for letter in bracketed)
    said = [letter for letter, option in places.items() if holds_words(line, option)]
    return frozenset(said) if len(said) == 1 else frozenset()
