"""The words and templates of several scripts."""

from __future__ import annotations

import json
import re
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
def test_the_answer_begins_as_the_needle_does(code: str) -> None:
    language = languages()[code]
    value = language.needle.format(key="KEY", value="VALUE").removeprefix(language.prefix.format(key="KEY"))
    assert value.removeprefix(language.space).startswith("VALUE")


def test_japanese_names_hold_no_particle() -> None:
    """A name that ends in one would read as a shorter name and its particle, or as a phrase before "town"."""
    assert not set(languages()["ja"].syllables) & set("がをにのはともやへかでねなたいる")


def test_no_korean_particle_after_a_word_depends_on_its_last_sound() -> None:
    """Words are put in with and without a final consonant; names end in vowels."""
    korean = languages()["ko"]
    ends = {unicodedata.normalize("NFD", noun)[-1] for noun in korean.nouns}
    assert any(end >= "\u11a8" for end in ends) and any(end < "\u11a8" for end in ends)
    for template in (*korean.hay, korean.document, korean.needle, korean.question):
        assert not re.search(r"”\s?(라고|라는|로|을|를|은|는|가|와|과)", template), template
    assert not any(unicodedata.normalize("NFD", syllable)[-1] >= "\u11a8" for syllable in korean.syllables)


@pytest.mark.parametrize("code", SCRIPTS)
def test_a_key_stands_in_no_value(code: str) -> None:
    """Twenty keys of two nouns: some values of three would hold one of them."""
    terms = Terms(languages()[code], Random(4))
    keys = [terms.joined(2) for _ in range(20)]
    values = [terms.joined(3) for _ in range(400)]
    assert not [(key, value) for key in keys for value in values if key in value]


@pytest.mark.parametrize("code", SCRIPTS)
def test_terms_and_sentences_do_not_repeat(code: str) -> None:
    terms = Terms(languages()[code], Random(1))
    joined = [terms.joined(3) for _ in range(2000)]
    names = [terms.name(4) for _ in range(1000)]
    assert len(set(joined)) == 2000 and len(set(names)) == 1000
    stream = hay(languages()[code], Random(2))
    sentences = [next(stream).strip() for _ in range(3000)]
    assert len(set(sentences)) == 3000
