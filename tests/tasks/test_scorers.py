"""Golden cases of every scorer, worked by hand from the published definitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from sparsebench.tasks.base import Score
from sparsebench.tasks.code_completion import CodeCompletion
from sparsebench.tasks.long_generation import LongGeneration
from sparsebench.tasks.multilingual_niah import MultilingualNiah
from sparsebench.tasks.multilingual_qa import MultilingualQa
from sparsebench.tasks.qa_quality import QaQuality
from sparsebench.tasks.qa_squad import QaSquad
from sparsebench.tasks.qa_toefl import QaToefl
from sparsebench.tasks.ruler_cwe import RulerCwe
from sparsebench.tasks.ruler_fwe import RulerFwe
from sparsebench.tasks.ruler_niah import RulerNiah
from sparsebench.tasks.ruler_qa import RulerQa
from sparsebench.tasks.ruler_vt import RulerVt
from sparsebench.tasks.story_filtering import StoryFiltering
from sparsebench.tasks.story_multihop import StoryMultihop
from sparsebench.tasks.story_retrieval import StoryRetrieval

A = "0a1b2c3d-11112222-33334444-55556666"
B = "ffffffff-eeeeeeee-dddddddd-cccccccc"
FAILED = "parse failed"
Case = tuple[str, float] | tuple[str, float, str]


def check(score: Score, case: Case) -> None:
    assert score.value == pytest.approx(case[1])
    assert score.parse_failed == (len(case) == 3)


@pytest.mark.parametrize(
    "case",
    [
        (f" {A}, {B}", 1),
        (f" {B} and {A}", 1),  # order does not matter to recall
        (f" {A}.", 0.5),
        (f"{A.upper()} {B.upper()}", 1),  # RULER compares in lower case
        (f"**{A}**\n- {B}", 1),
        (f"{A}{B}", 1),  # RULER's match is that of substrings
        (f"{A} {A} {A}", 0.5),  # repeating one does not find the other
        (A[:-1], 0, FAILED),  # seven digits at the end are no code
        (A.replace("-", ""), 0, FAILED),
        (f"{A[:-1]}0", 0),  # another code of the right shape is an answer, a wrong one
        ("", 0, FAILED),
        ("I cannot find any code.", 0, FAILED),
        (f"{A}\x00{B}", 1),  # control characters part words
    ],
)
def test_ruler_niah(case: Case) -> None:
    check(RulerNiah(keys=2, queries=2).score(case[0], (A, B), {"kind": "hex"}), case)


@pytest.mark.parametrize(
    "case",
    [
        ("1234567", 1),
        ("The number is 1234567.", 1),
        ("12345678", 1),  # as published: a substring counts
        ("123456", 0, FAILED),
        ("7654321", 0),
        ("1,234,567", 0, FAILED),
    ],
)
def test_ruler_niah_numbers(case: Case) -> None:
    check(RulerNiah(value_kind="number").score(case[0], ("1234567",), {"kind": "number"}), case)


@pytest.mark.parametrize(
    "case",
    [
        (" ABCDE, FGHIJ, KLMNO", 1),
        ("KLMNO FGHIJ ABCDE", 1),
        ("VAR ABCDE, VAR FGHIJ", 2 / 3),
        ("ABCDE ABCDE ABCDE", 1 / 3),
        ("abcde fghij klmno", 1),
        ("ABCDE\nFGHIJ\nKLMNO\nPQRST", 1),  # recall does not punish more names
        ("PQRST", 0),
        ("ABCD", 0, FAILED),
        ("", 0, FAILED),
        ("12345", 0, FAILED),
        ("ABCDEFGHIJKLMNO", 1, FAILED),  # found as substrings, though there is no name by itself
        ("FGHIJ = ABCDE", 2 / 3),
    ],
)
def test_ruler_vt(case: Case) -> None:
    check(RulerVt(hops=2).score(case[0], ("ABCDE", "FGHIJ", "KLMNO"), {}), case)


@pytest.mark.parametrize(
    "case",
    [
        (" lantern, violin, harbor, meadow", 1),
        ("meadow harbor violin lantern", 1),
        ("1. lantern 2. violin", 0.5),
        ("lanterns", 0.25),  # a substring counts, as published
        ("LANTERN", 0.25),
        ("lan tern", 0),
        ("lantern, lantern", 0.25),
        ("window, castle", 0),
        ("", 0, FAILED),
        ("1. 2. 3.", 0, FAILED),
        ("**lantern**\n**violin**\n**harbor**", 0.75),
        ("violín", 0),  # another letter
    ],
)
def test_ruler_cwe(case: Case) -> None:
    check(RulerCwe(common=4).score(case[0], ("lantern", "violin", "harbor", "meadow"), {}), case)


@pytest.mark.parametrize(
    "case",
    [
        (" qwerty, asdfgh, zxcvbn", 1),
        ("zxcvbn, qwerty, asdfgh", 1),
        ("QWERTY", 1 / 3),
        ("qwerty qwerty qwerty", 1 / 3),
        ("qwert", 0, FAILED),
        ("...", 0, FAILED),
        ("", 0, FAILED),
        ("poiuyt", 0),
        ("1. qwerty\n2. asdfgh\n3. poiuyt", 2 / 3),
        ("qwerty asdfgh zxcvbn poiuyt", 1),
        ("the words are: asdfgh", 1 / 3),
        ("q w e r t y", 0, FAILED),
    ],
)
def test_ruler_fwe(case: Case) -> None:
    check(RulerFwe().score(case[0], ("qwerty", "asdfgh", "zxcvbn"), {}), case)


@pytest.mark.parametrize(
    "case",
    [
        ("Denver Broncos", 1),
        ("the denver broncos won", 1),
        ("Broncos", 1),  # one of the references
        ("Carolina Panthers", 0),
        ("Denver", 0),
        ("", 0, FAILED),
        ("   \n ", 0, FAILED),
        ("DENVER BRONCOS!", 1),
        ("not the Broncos", 1),  # partial match does not read
        ("Bronco", 0),
        ("line one\nBroncos", 1),
        ("Bron cos", 0),
    ],
)
def test_ruler_qa(case: Case) -> None:
    check(RulerQa().score(case[0], ("Denver Broncos", "Broncos"), {}), case)


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
    ],
)
def test_qa_quality(case: Case) -> None:
    check(QaQuality().score(case[0], ("B",), {"options": OPTIONS}), case)


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
    ],
)
def test_qa_toefl_with_two_right_options(case: Case) -> None:
    check(QaToefl().score(case[0], ("A", "D"), {"options": OPTIONS}), case)


def test_chance_of_choices() -> None:
    assert QaToefl().chance_of(("B",), {"options": OPTIONS}) == 1 / 4
    assert QaToefl().chance_of(("A", "D"), {"options": OPTIONS}) == 1 / 6
    # 829 questions with one right option, 130 with two, 3 with three in the published set of 198 transcripts.
    assert QaToefl.chance == pytest.approx((829 / 4 + 130 / 6 + 3 / 4) / 962, abs=0.005)


@pytest.mark.parametrize(
    "case",
    [
        (" Dunham\n2. Kavura\n3. amber lamp", 1),
        ("1. Dunham\n2. Kavura\n3. amber lamp", 1),
        ("Dunham\nKavura\namber lamp", 1),  # relaxed: lines in order
        (" Dunham\n2. Kavura\n3. the amber lamp.", 1),
        (" Kavura\n2. Dunham\n3. amber lamp", 1 / 3),  # order matters
        (" Dunham", 1 / 3),
        ("2. Kavura", 1 / 3),
        (" dunham\n3. AMBER LAMP", 2 / 3),
        (" Dunhamshire\n2. Kavurax\n3. amber lamps", 0),  # whole words only
        (" Dunham\n1. Kavura\n2. x\n3. y", 1 / 3),  # the first line of a number counts
        ("", 0, FAILED),
        (" Oak\n2. Elm\n3. lamp", 0),
        (" a b c d e f g h i j k l m Dunham\n2. x", 0),  # a list is no answer
        ("1) Dunham\n2) Kavura\n3) amber lamp", 1),
        ("Answers:\n1. Dunham\n2. Kavura\n3. amber lamp", 2 / 3),  # the prefix has been given; "Answers:" is line 1
    ],
)
def test_story_retrieval(case: Case) -> None:
    check(StoryRetrieval(questions=3).score(case[0], ("Dunham", "Kavura", "amber lamp"), {}), case)


@pytest.mark.parametrize(
    "case",
    [
        (" amber lamp.", 1),
        ("the Amber Lamp", 1),
        ("\n\namber lamp", 1),
        ("an amber lamp, before the quiet oven", 1),  # the item asked about may be repeated
        ("quiet oven", 0),  # an answer, a wrong one
        ("quiet lamp", 0),
        ("lamp", 0),
        ("amber lamps", 0),
        ("lamp amber", 0),
        ("", 0, FAILED),
        ("old hat\namber lamp", 0),  # the first line counts
        (" ".join(["x"] * 30) + " amber lamp", 0),
        ("Answer: amber lamp", 1),
    ],
)
def test_story_multihop(case: Case) -> None:
    check(StoryMultihop().score(case[0], ("amber lamp",), {"asked": "quiet oven"}), case)


@pytest.mark.parametrize(
    "case",
    [
        (" 3, 7, 12", 1),
        ("12, 3 and 7", 1),
        ("chapters 3, 7", 2 / 3),
        ("3", 1 / 3),
        ("3, 7, 12, 13", 3 / 4),
        ("3, 7, 13", 2 / 4),
        ("3, 3, 3, 7, 12", 1),
        ("1, 2, 4", 0),
        ("1 2 3 4 5 6 7 8 9 10 11 12", 3 / 12),  # listing all is punished
        ("", 0, FAILED),
        ("none", 0, FAILED),
        ("37, 12", 1 / 4),  # 37 is neither 3 nor 7
        ("3rd", 0, FAILED),
        ("three", 0, FAILED),
    ],
)
def test_story_filtering(case: Case) -> None:
    check(StoryFiltering().score(case[0], ("3", "7", "12"), {"chapters": 12}), case)


def test_chance_of_story_filtering() -> None:
    """Two of three chapters: 1 of the 3 pairs is right (1), 2 share one chapter (1/3): (1 + 2/3) / 3 = 5/9."""
    assert StoryFiltering().chance_of(("1", "2"), {"chapters": 3}) == pytest.approx(5 / 9)
    assert StoryFiltering().chance_of(("1",), {"chapters": 10}) == pytest.approx(1 / 10)


@pytest.mark.parametrize(
    "case",
    [
        ("дом-река-лампа", 1),
        (" ДОМ-РЕКА-ЛАМПА.", 1),
        ("«дом-река-лампа»", 1),
        ("дом - река - лампа", 1),  # spaces around hyphens do not matter
        ("дом-река", 0),
        ("река-дом-лампа", 0),
        ("дом река лампа", 0),
        ("", 0, FAILED),
        ("...", 0, FAILED),
        ("house-river-lamp", 0),
        ("Пароль: дом-река-лампа", 1),
        ("дом-река-лампы", 0),
    ],
)
def test_multilingual_niah(case: Case) -> None:
    check(MultilingualNiah().score(case[0], ("дом-река-лампа",), {}), case)


def test_multilingual_niah_compares_compatible_characters() -> None:
    scorer = MultilingualNiah()
    assert scorer.score("１２３４５６７", ("1234567",), {}).value == 1  # full-width digits
    assert scorer.score("が", ("\u304b\u3099",), {}).value == 1  # composed and decomposed kana


@pytest.mark.parametrize(
    ("case", "answer"),
    [
        ((" 1581", 1), "1581"),
        (("1581.", 1), "1581"),
        (("year 1581 AD", 1), "1581"),
        (("15810", 0), "1581"),  # part of a longer number
        (("11581", 0), "1581"),
        (("1582", 0), "1581"),
        (("", 0, FAILED), "1581"),
        (("\n\n1581", 1), "1581"),
        (("1500\n1581", 0), "1581"),  # the first line counts
        (("Ответ: Валеми", 1), "Валеми"),
        (("валеми", 1), "Валеми"),
        (("Валем", 0), "Валеми"),
        (("。。。", 0, FAILED), "安北川"),
        (("安北川。", 1), "安北川"),
    ],
)
def test_multilingual_qa(case: Case, answer: str) -> None:
    check(MultilingualQa().score(case[0], (answer,), {}), case)


CALL = {"definition": "def f(*, a, b):\n    return a * 2 + b * 3", "function": "f", "result": 2 * 5 + 3 * 7}


@pytest.mark.parametrize(
    "case",
    [
        ("a=5, b=7)", 1),
        ("b=7, a=5)", 1),
        ("a=5, b=7", 1),  # the stop string may have taken the bracket
        (" a = 5 , b = 7 )\nprint(result)", 1),
        ("result = f(a=5, b=7)", 1),
        ("```python\nf(a=5, b=7)\n```", 1),
        ("a=2+3, b=7)", 1),
        ("a=7, b=5)", 0),
        ("5, 7)", 0),  # the parameters are keyword-only
        ("a=5)", 0),
        ("a=5, c=7)", 0),
        ("a=5, b=7, c=1)", 0),
        ("a=5, a=7)", 0),
        ("", 0, FAILED),
        ("a=, b=)", 0, FAILED),
        ("a=open('x'), b=7)", 0, FAILED),  # never run
        ("**{'a': 5, 'b': 7})", 0, FAILED),
        ("a=9**9**9**9, b=7)", 0, FAILED),  # powers would never end
        ("a=5, b='7')", 0),
        ("the arguments are a=5 and b=7", 0, FAILED),
    ],
)
def test_code_completion(case: Case) -> None:
    check(CodeCompletion().score(case[0], ("a=5, b=7)",), CALL), case)


LIST = ("red-fox", "old-hat", "dry-well", "big-oak")


@pytest.mark.parametrize(
    "case",
    [
        ("red-fox\nold-hat\ndry-well\nbig-oak", 1),
        ("1. red-fox\n2. old-hat\n3. dry-well\n4. big-oak", 1),
        ("red-fox, old-hat, dry-well, big-oak", 1),
        ("Red-Fox Old-Hat DRY-WELL big-oak", 1),
        ("red-fox\nold-hat", 1 / 2),
        ("big-oak\ndry-well\nold-hat\nred-fox", 1 / 4),  # reversed: the longest common subsequence is one
        ("old-hat\nred-fox\ndry-well\nbig-oak", 3 / 4),
        ("red-fox\nred-fox\nold-hat\ndry-well\nbig-oak", 4 / 5),  # a repeated entry makes the list longer
        ("red-fox\nbad-cat\nold-hat\ndry-well\nbig-oak\nnew-one\nnew-two\nnew-six", 4 / 8),
        ("red fox old hat", 0, FAILED),
        ("", 0, FAILED),
        ("bad-cat", 0),
    ],
)
def test_long_generation_lists(case: Case) -> None:
    check(LongGeneration().score(case[0], LIST, {"kind": "copy"}), case)


@pytest.mark.parametrize(
    "case",
    [
        ("anvil: 12\nkite: 7\nlamp: 30\nwell: 4", 1),
        ("well: 4\nlamp: 30\nkite: 7\nanvil: 12", 1),  # each total counts by itself
        ("- **anvil**: 12\n- kite = 7", 1 / 2),
        ("anvil: 12\nkite: 8\nlamp: 30\nwell: 5", 1 / 2),
        ("anvil: 12, kite: 7", 1 / 4),  # one in a line
        ("anvil: 120", 0),
        ("Anvil: 12", 1 / 4),
        ("anvil: 12\nanvil: 12\nanvil: 12", 1 / 4),
        ("anvil: 3\nanvil: 12", 0),  # the first total counts
        ("anvil: 12\nkite: 7\nlamp: 30\nwell: 4\nhat: 1", 4 / 5),
        ("", 0, FAILED),
        ("twelve", 0, FAILED),
    ],
)
def test_long_generation_totals(case: Case) -> None:
    gold: Sequence[str] = ("anvil: 12", "kite: 7", "lamp: 30", "well: 4")
    meta: Mapping[str, Any] = {"kind": "aggregate"}
    check(LongGeneration(kind="aggregate").score(case[0], gold, meta), case)
