"""What holds for every task: length, answerers, and that no answer occurs by accident."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import mean, stdev

import pytest

from sparsebench.errors import UserError
from sparsebench.spec import TaskSpec
from sparsebench.synthesis import draw_of, make_sample
from sparsebench.tasks.base import Sample, Task
from sparsebench.tasks.labels import SHAPES
from sparsebench.tasks.registry import load_task, task_classes
from sparsebench.tasks.vocabulary import listed_words
from sparsebench.tasks.window import Window, load_tokenizer

# Short settings of tasks: (name, parameters, length). A task that is not named here runs at its defaults.
SHORT: list[tuple[str, dict[str, object], int]] = [
    ("ruler_niah", {"haystack": "prose", "keys": 3, "queries": 2, "values": 2}, 2048),
    ("ruler_niah", {"haystack": "needles", "key_kind": "word", "value_kind": "number"}, 1024),
    ("ruler_niah", {"haystack": "noise", "value_kind": "word"}, 1024),
    ("ruler_vt", {"chains": 2, "hops": 2}, 1024),
    ("ruler_cwe", {"common": 4, "freq_common": 12, "freq_rare": 2}, 1536),
    ("ruler_fwe", {}, 1024),
    ("ruler_qa", {"corpus": "shipped"}, 2048),
    ("ruler_qa", {"corpus": "shipped", "form": "hotpotqa", "shortest_tok": 2048}, 2048),
    ("qa_squad", {"corpus": "shipped"}, 2048),
    ("qa_quality", {"corpus": "shipped", "shortest_tok": 2048}, 2048),
    ("qa_toefl", {"corpus": "shipped", "shortest_tok": 2048}, 2048),
    ("story_retrieval", {}, 2048),
    ("story_multihop", {}, 2048),
    ("story_filtering", {}, 2048),
    ("story_absence", {}, 2048),
    ("multilingual_niah", {}, 2048),
    ("multilingual_niah", {"language": "zh", "keys": 3, "value_kind": "number"}, 2048),
    ("multilingual_qa", {}, 2048),
    ("code_completion", {}, 2048),
    ("long_generation", {"items": 30}, 2048),
    ("long_generation", {"items": 30, "kind": "sort"}, 2048),
    ("long_generation", {"items": 40, "groups": 8, "kind": "aggregate"}, 2048),
]
SHORT += [
    (name, {}, max(2048, cls.minimum_tok)) for name, cls in task_classes().items() if name not in {n for n, *_ in SHORT}
]
NAMES = [f"{name}-{'-'.join(str(value) for value in params.values())}" for name, params, _ in SHORT]


def every(
    settings: list[tuple[str, dict[str, object], int]] = SHORT,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return pytest.mark.parametrize(("name", "params", "length"), settings, ids=NAMES)


@pytest.fixture(scope="module")
def windows(tokenizer_dir: Path) -> Callable[[int], Window]:
    tokenizer = load_tokenizer(tokenizer_dir)
    made: dict[int, Window] = {}
    return lambda length: made.setdefault(length, Window(tokenizer, length))


@pytest.fixture(scope="module", params=SHORT, ids=NAMES)
def thousand(request: pytest.FixtureRequest, windows: Callable[[int], Window]) -> tuple[Task, Window, list[Sample]]:
    """A task, and its first thousand samples."""
    name, params, length = request.param
    task, _ = task_of(name, params)
    return task, windows(length), synthesised(task, windows(length), 1000)


def task_of(name: str, params: dict[str, object]) -> tuple[Task, TaskSpec]:
    spec = TaskSpec(label=name, task=name, params=params, samples=1, seed=5)
    return load_task(spec), spec


def synthesised(task: Task, window: Window, n: int) -> list[Sample]:
    return [task.synthesise(draw_of(task, 5, index, "tiny", window.length_tok), window) for index in range(n)]


@every()
def test_prompts_fill_95_to_100_percent(
    windows: Callable[[int], Window], name: str, params: dict[str, object], length: int
) -> None:
    task, spec = task_of(name, params)
    for index in range(8):
        # make_sample refuses a prompt that does not fill the length.
        _, encoded, _ = make_sample(task, spec, index, "tiny", windows(length))
        assert 0.95 * length <= len(encoded.ids) <= length
        assert encoded.evidence_tok == sorted(encoded.evidence_tok)
        assert encoded.evidence_tok and encoded.evidence_tok[-1] < len(encoded.ids)


@every()
def test_evidence_lies_evenly_over_the_context(
    windows: Callable[[int], Window], name: str, params: dict[str, object], length: int
) -> None:
    """Each fifth of the prompt holds about a fifth of it; instruction and question take some of the first and last."""
    task, spec = task_of(name, params)
    fifths: Counter[int] = Counter()
    for index in range(50):
        _, encoded, _ = make_sample(task, spec, index, "tiny", windows(4096))
        fifths.update(5 * place // len(encoded.ids) for place in encoded.evidence_tok)
    assert all(0.1 <= fifths[fifth] / fifths.total() <= 0.32 for fifth in range(5)), fifths


@pytest.mark.parametrize("length", [4096, 16384])
@pytest.mark.parametrize("name", [n for n in task_classes() if not n.startswith("qa_") and n != "ruler_qa"])
def test_default_parameters_fill_longer_windows(windows: Callable[[int], Window], name: str, length: int) -> None:
    task, spec = task_of(name, {})
    make_sample(task, spec, 0, "tiny", windows(length))
    make_sample(task, spec, 3, "tiny", windows(length + 137))


def test_a_perfect_answerer_scores_1_an_empty_one_0_and_a_guesser_chance(
    thousand: tuple[Task, Window, list[Sample]],
) -> None:
    task, window, samples = thousand
    draw = Random(3)
    guesses, chances = [], []
    for sample in samples[:200]:
        perfect = task.score(sample.perfect, sample.answers, sample.meta)
        assert perfect.value == 1.0 and not perfect.parse_failed, sample.perfect
        empty = task.score("", sample.answers, sample.meta)
        assert empty.value == 0.0 and empty.parse_failed
        guesses.append(task.score(task.guess(draw, sample), sample.answers, sample.meta).value)
        chances.append(task.chance_of(sample.answers, sample.meta))
        assert window.count(sample.perfect) <= sample.max_new_tok
        assert not any(stop in sample.perfect.rstrip(")") for stop in sample.stop)
    spread = stdev(guesses) / math.sqrt(len(guesses))
    # 3.5 standard errors: one chance in two thousand to fail without cause; the seed is fixed.
    assert abs(mean(guesses) - mean(chances)) <= 3.5 * spread + 0.003


@pytest.mark.parametrize("name", list(task_classes()))
def test_every_class_states_its_facts(name: str) -> None:
    task = task_classes()[name]
    assert 0 <= task.chance < 0.5 and task.minimum_tok >= 512 and task.source and task.metric


@pytest.mark.parametrize("name", [n for n in task_classes() if not n.startswith("qa_") and n != "ruler_qa"])
def test_a_length_below_the_minimum_is_refused_by_name(windows: Callable[[int], Window], name: str) -> None:
    """And about the length that the message names would do."""
    task, spec = task_of(name, {})
    with pytest.raises(UserError, match=f"task {name}: .*needs about") as error:
        synthesised(task, windows(32), 1)
    (needed,) = re.findall(r"about (\d+) tokens", str(error.value))
    for seed in range(4):
        make_sample(task, spec.model_copy(update={"seed": seed}), 0, "tiny", windows(int(1.05 * int(needed))))


def occurrences(text: str, word: str) -> int:
    return len(re.findall(re.escape(word), text))


def niah(sample: Sample) -> None:
    assert all(occurrences(sample.user, answer) == 1 for answer in sample.answers)
    labels = SHAPES[sample.meta["kind"]].findall(sample.answer_prefix)
    assert not set(labels) & set(sample.answers)
    for key in re.findall(r"\w+(?:-\w+)+", sample.answer_prefix):
        # Once in each of its needles and once in the question.
        assert occurrences(sample.user, key) == occurrences(sample.user, f"for {key} is: ") + 1


def multilingual_niah(sample: Sample) -> None:
    one_place(sample)
    (key,) = re.findall(r"[«“「](.+)[»”」]", sample.answer_prefix)
    assert occurrences(sample.user, key) == 2


def one_place(sample: Sample) -> None:
    assert all(occurrences(sample.user, answer) == 1 for answer in sample.answers)


def vt(sample: Sample) -> None:
    text = sample.user[sample.user.index("Text:") :]
    assert [occurrences(text, name) for name in sample.answers] == [2] * (len(sample.answers) - 1) + [1]


def cwe(sample: Sample) -> None:
    text = sample.user[sample.user.rindex("List:") : sample.user.rindex("Question:")]
    assert [occurrences(text, word) for word in sample.answers] == [12] * 4
    rest = Counter(re.findall(r"[a-z]+", text[5:].lower()))
    assert all(count <= 2 for word, count in rest.items() if word not in sample.answers)


def fwe(sample: Sample) -> None:
    text = sample.user[sample.user.index("Coded text:") : sample.user.rindex("Question:")]
    counts = Counter(re.findall(r"\b[a-z]{6}\b", text)).most_common(4)
    assert [word for word, _ in counts[:3]] == list(sample.answers) and counts[2][1] > counts[3][1]
    assert all(occurrences(text, word) == count for word, count in counts)


def filtering(sample: Sample) -> None:
    chapters = re.split(r"^Chapter (\d+)\n", sample.user.split("Afterword")[0], flags=re.MULTILINE)
    deal = re.compile(r"\bbought a|purchased a|paid \d+ coins")
    empty = [
        n for n, text in zip(chapters[1::2], chapters[2::2], strict=True) if not deal.search(text.split("Question")[0])
    ]
    assert empty == list(sample.answers)


@pytest.mark.parametrize(("name", "told"), [("story_filtering", 2), ("story_absence", 1)])
def test_what_chapters_without_a_purchase_tell(windows: Callable[[int], Window], name: str, told: int) -> None:
    """Beside what was sold, an item that was looked at, or nothing."""
    for sample in synthesised(task_of(name, {})[0], windows(2048), 5):
        chapters = re.split(r"^Chapter (\d+)\n", sample.user.split("Afterword")[0], flags=re.MULTILINE)
        prices = {n: text.count(" coins") for n, text in zip(chapters[1::2], chapters[2::2], strict=True)}
        assert {prices[n] for n in sample.answers} == {told}
        assert {count for n, count in prices.items() if n not in sample.answers} == {2}


def multilingual_qa(sample: Sample) -> None:
    assert all(sample.user.casefold().count(answer.casefold()) == 1 for answer in sample.answers)


def asked_document(sample: Sample) -> None:
    """Document titles and texts are of the corpus: what must be unique is the number that the question names."""
    (number,) = set(re.findall(r"Question about document (\d+):", sample.user))
    assert occurrences(sample.user, f"\nDocument {number}:") == 1
    place = sample.evidence[0]
    assert sample.user[place:].startswith(f"Document {number}:")
    text = sample.user[place:].split("\n\nDocument ")[0].split("\n\nQuestion about")[0].partition("\n")[2]
    assert occurrences(sample.user, text) == 1
    if "options" not in sample.meta:
        assert any(answer in text for answer in sample.answers)


def totals(sample: Sample) -> None:
    entries = re.findall(r"Entry \d+: (\w+) (\d+)\.", sample.user)
    sums: Counter[str] = Counter()
    for entry, amount in entries:
        sums[entry] += int(amount)
    assert tuple(f"{entry}: {sums[entry]}" for entry in sorted(sums)) == sample.answers and len(entries) == 40


def register(sample: Sample) -> None:
    (totals if sample.meta["kind"] == "aggregate" else one_place)(sample)


def hidden_documents(sample: Sample) -> None:
    """RULER's questions name no document: those that hold the answer occur once, with an answer in one of them."""
    texts = [sample.user[place:].split("\n\nDocument ")[0].partition("\n")[2] for place in sample.evidence]
    assert all(occurrences(sample.user, text) == 1 for text in texts)
    assert any(answer in text for answer in sample.answers for text in texts)


def code(sample: Sample) -> None:
    parameters = re.findall(r"(\w+)=", sample.answers[0])
    assert [len(re.findall(rf"\b{name}\b", sample.user)) for name in parameters] == [2, 2, 2]
    assert occurrences(sample.user, f"def {sample.meta['function']}(") == 1


# What else is to be looked at; a task that is not named here has answers that occur once.
ACCIDENTS: dict[str, Callable[[Sample], None]] = {
    "ruler_niah": niah,
    "ruler_vt": vt,
    "ruler_cwe": cwe,
    "ruler_fwe": fwe,
    "story_filtering": filtering,
    "story_absence": filtering,
    "multilingual_niah": multilingual_niah,
    "multilingual_qa": multilingual_qa,
    "code_completion": code,
    "long_generation": register,
    "qa_squad": asked_document,
    "qa_quality": asked_document,
    "qa_toefl": asked_document,
    "ruler_qa": hidden_documents,
}


def test_nothing_that_is_asked_for_occurs_by_accident(thousand: tuple[Task, Window, list[Sample]]) -> None:
    task, _, samples = thousand
    for sample in samples:
        ACCIDENTS.get(task.name, one_place)(sample)


def test_vocabulary_words_are_no_parts_of_each_other() -> None:
    words = listed_words()
    assert len(words) > 900 and not [(a, b) for a in words for b in words if a != b and a in b]
