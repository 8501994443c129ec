"""Golden cases of story, multilingual, code and long-answer scorers, worked by hand from the published definitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from sparsebench.tasks.code_completion import CodeCompletion
from sparsebench.tasks.long_generation import LongGeneration
from sparsebench.tasks.multilingual_niah import MultilingualNiah
from sparsebench.tasks.multilingual_qa import MultilingualQa
from sparsebench.tasks.story_filtering import StoryFiltering
from sparsebench.tasks.story_multihop import StoryMultihop
from sparsebench.tasks.story_retrieval import StoryRetrieval
from tests.tasks.golden import FAILED, Case, check


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
        (" Dunhаm", 0),  # an a in Cyrillic
        (" Dunham Dunham", 1 / 3),
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
        ("amber quiet oven lamp", 0),  # and does not bring other words together
        ("quiet oven", 0),  # an answer, a wrong one
        ("quiet lamp", 0),
        ("lamp", 0),
        ("amber lamps", 0),
        ("lamp amber", 0),
        ("", 0, FAILED),
        ("old hat\namber lamp", 0),  # the first line counts
        (" ".join(["x"] * 30) + " amber lamp", 0),
        ("Answer: amber lamp", 1),
        ("amber\u00a0lamp", 1),  # any white space parts words
        ("ambér lamp", 0),
        ("amber lamp, amber lamp", 1),
        ("quiet oven, amber lamp", 1),
    ],
)
def test_story_multihop(case: Case) -> None:
    check(StoryMultihop().score(case[0], ("amber lamp",), {"asked": "quiet oven"}), case)


def test_story_multihop_passes_over_whole_words_of_the_item_asked_about() -> None:
    assert StoryMultihop().score(" bold hat", ("bold hat",), {"asked": "old hat"}).value == 1
    assert StoryMultihop().score(" old hatbox", ("old hatbox",), {"asked": "old hat"}).value == 1


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
        ("３, ７, １２", 1),  # digits of any script
        ("12, 7, 3", 1),
        ("3" * 5000, 0, FAILED),  # no chapter has such a number
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
        ("дом\u2011река–лампа", 1),  # nor does which hyphen it is
        ("дом-река", 0),
        ("река-дом-лампа", 0),
        ("дом река лампа", 0),
        ("", 0, FAILED),
        ("...", 0, FAILED),
        ("house-river-lamp", 0),
        ("Пароль: дом-река-лампа", 1),
        ("дом-река-лампы", 0),
        ("дом-река-лампа дом-река-лампа", 1),
        ("лампа-река-дом", 0),
    ],
)
def test_multilingual_niah(case: Case) -> None:
    check(MultilingualNiah().score(case[0], ("дом-река-лампа",), {}), case)


def test_multilingual_niah_compares_compatible_characters() -> None:
    scorer = MultilingualNiah()
    assert scorer.score("１２３４５６７", ("1234567",), {}).value == 1  # full-width digits
    assert scorer.score("が", ("\u304b\u3099",), {}).value == 1  # composed and decomposed kana
    assert scorer.score("\u200fبيت-نهر-حجر", ("بيت-نهر-حجر",), {}).value == 1  # marks of direction are not seen
    assert scorer.score("١٢٣٤٥٦٧", ("1234567",), {}).value == 1  # digits of the language


@pytest.mark.parametrize(
    ("case", "answer"),
    [
        ((" 1581", 1), "1581"),
        (("1581.", 1), "1581"),
        (("year 1581 AD", 1), "1581"),
        (("15810", 0), "1581"),  # part of a longer number
        (("11581", 0), "1581"),
        (("1582", 0), "1581"),
        (("15811, 1581", 1), "1581"),  # where it stands by itself counts
        (("सन १५८१", 1), "1581"),  # digits of the language
        (("١٥٨١", 1), "1581"),
        (("", 0, FAILED), "1581"),
        (("\n\n1581", 1), "1581"),
        (("1500\n1581", 0), "1581"),  # the first line counts
        (("Ответ: Валеми", 1), "Валеми"),
        (("валеми", 1), "Валеми"),
        (("Валем", 0), "Валеми"),
        (("。。。", 0, FAILED), "安北川"),
        (("安北川。", 1), "安北川"),
        (("дом - река - лампа", 1), "дом-река-лампа"),  # spaces around hyphens do not matter
        (("дом-река", 0), "дом-река-лампа"),
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
        ("a=５, b=7)", 0, FAILED),  # full-width digits are no Python
        ("a=5, b=7) a=5, b=7)", 1),
        ("а=5, b=7)", 0),  # the a is Cyrillic
        ("a=55, b=7)", 0),
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
        ("red\u2011fox", 0, FAILED),  # another hyphen
        ("red-foxes", 0),
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
        ("1. anvil: 12\n2. kite: 7\n3) lamp: 30\n4. **well**: 4", 1),  # numbers are passed over
        ("Entry 12: anvil 12", 0, FAILED),  # lines of the register are no totals
        ("anvil: 120", 0),
        ("Anvil: 12", 1 / 4),
        ("anvil: 12\nanvil: 12\nanvil: 12", 1 / 4),
        ("anvil: 3\nanvil: 12", 0),  # the first total counts
        ("anvil: 12\nkite: 7\nlamp: 30\nwell: 4\nhat: 1", 4 / 5),
        ("", 0, FAILED),
        ("twelve", 0, FAILED),
        ("anvil: １２", 1 / 4),  # digits of any script
        ("anvil: " + "1" * 5000, 0, FAILED),
        ("lamp: 30\nanvil: 12", 2 / 4),
    ],
)
def test_long_generation_totals(case: Case) -> None:
    gold: Sequence[str] = ("anvil: 12", "kite: 7", "lamp: 30", "well: 4")
    meta: Mapping[str, Any] = {"kind": "aggregate"}
    check(LongGeneration(kind="aggregate").score(case[0], gold, meta), case)
