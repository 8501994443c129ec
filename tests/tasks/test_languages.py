"""The words and templates of several scripts."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import asdict
from random import Random

import pytest

from sparsebench.tasks.languages import Terms, hay, languages

SCRIPTS = {
    "ru": {"CYRILLIC"},
    "el": {"GREEK"},
    "ar": {"ARABIC"},
    "hi": {"DEVANAGARI"},
    "zh": {"CJK"},
    "ja": {"HIRAGANA", "KATAKANA", "CJK", "KATAKANA-HIRAGANA"},
    "ko": {"HANGUL"},
}


def test_there_are_seven_scripts() -> None:
    assert set(languages()) == set(SCRIPTS)


@pytest.mark.parametrize("code", SCRIPTS)
def test_words_are_in_their_script_composed_and_not_repeated(code: str) -> None:
    language = languages()[code]
    for listed in (language.nouns, language.syllables):
        assert len(set(listed)) == len(listed) >= 14
        for word in listed:
            assert unicodedata.is_normalized("NFC", word) and word == word.strip().lower()
            assert {unicodedata.name(c).split()[0] for c in word} <= SCRIPTS[code], word
    assert len(language.nouns) >= 40
    assert unicodedata.is_normalized("NFC", json.dumps(asdict(language), ensure_ascii=False))


@pytest.mark.parametrize("code", SCRIPTS)
def test_no_noun_or_syllable_is_part_of_another(code: str) -> None:
    """So that finding a joined term cannot be due to another one."""
    language = languages()[code]
    for listed in (language.nouns, language.syllables):
        assert not [(a, b) for a in listed for b in listed if a != b and a in b]


@pytest.mark.parametrize("code", SCRIPTS)
def test_templates_have_their_places(code: str) -> None:
    language = languages()[code]
    assert language.needle.format(key="KEY", value="VALUE").count("KEY") == 1
    assert "KEY" in language.question.format(key="KEY") and "KEY" in language.prefix.format(key="KEY")
    assert set(language.questions) == {"person", "year", "thing"}
    document = language.document.format(town="TOWN", person="PERSON", year="1234", thing="THING")
    assert all(document.count(fact) >= 1 for fact in ("TOWN", "PERSON", "1234", "THING"))
    assert len(set(language.hay)) == len(language.hay) >= 3


@pytest.mark.parametrize("code", SCRIPTS)
def test_terms_and_sentences_do_not_repeat(code: str) -> None:
    terms = Terms(languages()[code], Random(1))
    joined = [terms.joined(3) for _ in range(2000)]
    names = [terms.name(4) for _ in range(1000)]
    assert len(set(joined)) == 2000 and len(set(names)) == 1000
    stream = hay(languages()[code], Random(2))
    sentences = [next(stream).strip() for _ in range(3000)]
    assert len(set(sentences)) == 3000
