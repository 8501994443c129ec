"""Golden cases of the scorers on question-answering corpora, worked by hand from the published definitions."""

from __future__ import annotations

import pytest

from sparsebench.tasks.qa_quality import QaQuality
from sparsebench.tasks.qa_squad import QaSquad
from sparsebench.tasks.qa_toefl import QaToefl
from tests.tasks.golden import FAILED, Case, check


@pytest.mark.parametrize(
    "case",
    [
        (" Saint Bernadette Soubirous", 1),
        ("the Saint Bernadette Soubirous.", 1),  # articles and punctuation do not count
        ("Bernadette", 0.5),  # 1 common word: precision 1, recall 1/3
        ("Bernadette Soubirous", 0.8),  # precision 1, recall 2/3
        ("Answer: Saint Bernadette Soubirous", 1),
        ("\n\nSaint Bernadette Soubirous\nand more text", 1),  # the first line that is not blank
        ("SAINT BERNADETTE SOUBIROUS", 1),
        ("Saint Bernadette Soubirous in 1858", 0.75),  # precision 3/5, recall 1: 2*3/(5+3)
        ("Saint Saint Saint", 1 / 3),  # 1 common (bag): 2*1/(3+3)
        ("in 1858", 1),  # the second reference
        ("Our Lady", 0),
        ("", 0, FAILED),
        ("the", 0, FAILED),  # nothing is left of it
        ("**Saint Bernadette Soubirous**", 1),
    ],
)
def test_qa_squad_f1(case: Case) -> None:
    check(QaSquad().score(case[0], ("Saint Bernadette Soubirous", "in 1858"), {}), case)


@pytest.mark.parametrize(
    "case",
    [
        ("The café.", 1),
        ("cafe\u0301", 1),  # the same letter in another Unicode form
        ("cafe", 0),
        ("a café in Paris", 0),
        ("", 0, FAILED),
        ("café café", 0),
        ("CAFÉ", 1),
        ("café\nbar", 1),
        ("\n\n café", 1),
        ("Answer: the café", 1),
        ("**café**", 1),
        ("cafés", 0),
    ],
)
def test_qa_squad_exact_match(case: Case) -> None:
    check(QaSquad(match="exact").score(case[0], ("café",), {}), case)


OPTIONS = ["red wine", "a blue car", "old bread", "the sea"]


@pytest.mark.parametrize(
    "case",
    [
        (" B", 1),
        ("b", 1),
        ("(B)", 1),
        ("B.", 1),
        ("B. a blue car", 1),
        ("The answer is B.", 1),
        ("**B**", 1),
        ("Answer: B", 1),
        ("\n\nB\nA", 1),  # the first line that is not blank
        ("a blue car", 1),  # the text of exactly one option
        ("b) a blue car", 1),
        ("A", 0),
        ("A or B", 0),  # hedging chooses both
        ("A, B, C, D", 0),
        ("A red wine or a blue car", 0, FAILED),  # two options told, "A" is the article
        ("E", 0, FAILED),
        ("", 0, FAILED),
        ("I do not know.", 0, FAILED),
        ("Because of it", 0, FAILED),  # B inside a word
        ("Ｂ", 0, FAILED),  # a full-width letter
        ("B B", 1),  # a repeated letter is one choice
        ("B.\nC.", 1),
        ("B is right.", 1),
        ("A is the correct answer", 0),
    ],
)
def test_qa_quality(case: Case) -> None:
    check(QaQuality().score(case[0], ("B",), {"options": OPTIONS}), case)


WORDS = ["Dad", "Vitamins A, B and C", "He said: plan C.", "Mom"]


@pytest.mark.parametrize(
    "case",
    [
        ("B. Vitamins A, B and C", 1),  # letters in the text of the option chosen choose nothing
        ("(B) vitamins A, B", 1),  # cut at the token limit
        ("Vitamins A, B and C", 1),
        ("A. Vitamins A, B and C", 0),  # the letter is of another option than the text
        ("Dad", 0),  # a word, not D, A, D
        ("He said: plan C.", 0),
        ("A, B, C", 0),
        ("BAD", 0),
    ],
)
def test_letters_in_the_text_of_options(case: Case) -> None:
    check(QaQuality().score(case[0], ("B",), {"options": WORDS}), case)


@pytest.mark.parametrize(
    "case",
    [
        (" A, D", 1),
        ("D, A", 1),  # a set
        ("AD", 1),
        ("A and D", 1),
        ("A; D.", 1),
        ("(A) and (D)", 1),
        ("The answers are A and D.", 1),
        ("A", 0),  # half a set is wrong
        ("A, C, D", 0),
        ("A, A, D", 1),
        ("B, C", 0),
        ("", 0, FAILED),
        ("a, d", 1),
        ("А, D", 0),  # the first letter is Cyrillic: only D is chosen
        ("red wine, the sea", 0, FAILED),  # two options told
        ("the sea", 0),
        ("I do not know", 0, FAILED),
        ("A\nD", 1),  # one in a line
        ("A. red wine\nD. the sea", 1),
        ("- A\n- D\n- C", 1),  # as many as are asked for
        ("A\nC", 0),
        ("A\nbecause D.", 0),  # further lines must begin with their letter
        ("A and D are right.", 1),
    ],
)
def test_qa_toefl_with_two_right_options(case: Case) -> None:
    check(QaToefl().score(case[0], ("A", "D"), {"options": OPTIONS}), case)


def test_chance_of_choices() -> None:
    assert QaToefl().chance_of(("B",), {"options": OPTIONS}) == 1 / 4
    assert QaToefl().chance_of(("A", "D"), {"options": OPTIONS}) == 1 / 6
    # 829 questions with one right option, 130 with two, 3 with three in the published set of 198 transcripts.
    assert QaToefl.chance == pytest.approx((829 / 4 + 130 / 6 + 3 / 4) / 962, abs=0.005)
