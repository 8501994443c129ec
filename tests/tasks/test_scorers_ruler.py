"""Golden cases of RULER's scorers, worked by hand from the published definitions."""

from __future__ import annotations

import pytest

from sparsebench.tasks.ruler_cwe import RulerCwe
from sparsebench.tasks.ruler_fwe import RulerFwe
from sparsebench.tasks.ruler_niah import RulerNiah
from sparsebench.tasks.ruler_qa import RulerQa
from sparsebench.tasks.ruler_vt import RulerVt
from tests.tasks.golden import FAILED, Case, check

A = "0a1b2c3d-11112222-33334444-55556666"
B = "ffffffff-eeeeeeee-dddddddd-cccccccc"


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
        (A.replace("-", "\u2011"), 0, FAILED),  # another hyphen is another code
        (f"{A[:18]}{B[18:]}", 0),  # halves of two codes
        (f" {B}, {A}, {B}", 1),
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
        ("１２３４５６７", 0),  # full-width digits have the shape, and are other characters
        ("1234567, 7654321", 1),  # as published: additions do not count
        ("7654321\n1234567", 1),
        ("", 0, FAILED),
        ("1234567 1234567", 1),
        ("0123456", 0),
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
        ("АBCDE", 0, FAILED),  # the first letter is Cyrillic
        ("ABCDE, FGHIJ, ABCDE", 2 / 3),
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
        ("meadow, lantern, meadow, meadow", 0.5),
    ],
)
def test_ruler_cwe(case: Case) -> None:
    check(RulerCwe(common=4).score(case[0], ("lantern", "violin", "harbor", "meadow"), {}), case)


@pytest.mark.parametrize(
    "case",
    [
        (" ABCDE, FGHIJ, KLMNO", 1),
        ("KLMNO FGHIJ ABCDE", 1),
        ("ABCDE", 1 / 3),
        ("ABCDE, FGHIJ, KLMNO, PQRST", 3 / 4),  # each further name costs
        ("ABCDE, PQRST", 1 / 4),
        ("ABCDE ABCDE ABCDE", 1 / 3),  # a set
        ("abcde, fghij, klmno", 1),
        ("VAR ABCDE = 12345, VAR FGHIJ", 2 / 3),  # VAR has three letters
        ("These are ABCDE and FGHIJ", 2 / 3),  # what is in small letters is no name where others are in capitals
        ("these are abcde and fghij", 2 / 4),
        ("ABCDEF", 0, FAILED),  # not found inside a longer word
        ("PQRST", 0),
        ("", 0, FAILED),
        ("ABCDÉ", 0, FAILED),
        ("ABCDE, FGHIJ and KLMNO: these names share their value.", 1),  # words that are no names
        ("\nABCDE, FGHIJ, KLMNO\n \nVWXYZ holds another value.", 1),
        ("ABCDE\nFGHIJ\nKLMNO\nVWXYZ", 3 / 4),
    ],
)
def test_ruler_vt_as_the_study_scores_it(case: Case) -> None:
    check(RulerVt(hops=2, match="iou").score(case[0], ("ABCDE", "FGHIJ", "KLMNO"), {}), case)


@pytest.mark.parametrize(
    "case",
    [
        ("1. lantern\n2. violin\n3. harbor\n4. meadow", 1),
        ("meadow harbor violin lantern", 1),
        ("lantern, violin", 2 / 4),
        ("lantern, violin, harbor, meadow, window, castle", 4 / 6),
        ("window, castle", 0),
        ("lantern, window", 1 / 5),
        ("lantern lantern lantern", 1 / 4),
        ("LANTERN", 1 / 4),
        ("lanterns", 0),  # another word
        ("an old lantern", 1 / 4),  # words of three letters are passed over
        ("", 0, FAILED),
        ("1. 2. 3.", 0, FAILED),
        ("violín, lantern", 1 / 5),
        ("1. lantern\n2. violin\n3. harbor\n4. meadow\n\nThese words occur most often.", 1),
        ("\n\n1. lantern\n\n2. violin\n \n3. harbor\n\n4. meadow\n\nMost often.", 1),
        (" **\n\nlantern, violin, harbor, meadow\n", 1),
    ],
)
def test_ruler_cwe_as_the_study_scores_it(case: Case) -> None:
    scorer = RulerCwe(common=4, match="iou")
    assert scorer.metric_name() == "iou"
    check(scorer.score(case[0], ("lantern", "violin", "harbor", "meadow"), {}), case)


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
        ("ｑｗｅｒｔｙ", 0, FAILED),  # full-width letters
        ("qwertyuiop", 1 / 3, FAILED),  # a substring counts, though no word has six letters
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
        ("Bróncos", 0),
        ("Broncos Broncos", 1),
    ],
)
def test_ruler_qa(case: Case) -> None:
    check(RulerQa().score(case[0], ("Denver Broncos", "Broncos"), {}), case)


def test_spaces_of_a_text_are_no_control_characters() -> None:
    assert RulerQa().score(" 42\u00a0km\u2009wide", ("42\u00a0km\u2009wide",), {}).value == 1
