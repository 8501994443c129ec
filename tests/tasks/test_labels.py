"""Labels: none twice, each in its half of the word pairs, and an end that is said when they are used up."""

from __future__ import annotations

from zlib import crc32

import pytest

from sparsebench.errors import UserError
from sparsebench.tasks import labels
from sparsebench.tasks.draw import Draw
from sparsebench.tasks.labels import Labels
from sparsebench.tasks.words import words


def half(training: bool) -> set[str]:
    """All word pairs of one side of the split."""
    pairs = {f"{adjective}-{noun}" for adjective in words("adjectives") for noun in words("nouns")}
    return {pair for pair in pairs if crc32(pair.encode()) % 2 == training}


def test_word_pairs_of_a_training_sample_widen_when_a_long_text_uses_them_up() -> None:
    few = 0
    for seed in range(12):
        made = Labels(Draw(seed, 0, "t", training=True))
        first = [made.new("word") for _ in range(300)]
        given = first + [made.new("word") for _ in range(3700)]
        assert len(set(given)) == len(given)
        assert set(given) <= half(training=True)
        few += len({pair.split("-")[1] for pair in first}) <= 40
    assert 2 <= few <= 10


def test_used_up_labels_are_an_error_not_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "_adjectives", lambda: words("adjectives")[:20])
    monkeypatch.setattr(labels, "_MOST_TRIES", 200_000)
    made = Labels(Draw(1, 0, "t"))
    allowed = {pair for pair in half(training=False) if pair.split("-")[0] in words("adjectives")[:20]}
    assert {made.new("word") for _ in allowed} == allowed
    with pytest.raises(UserError, match=r"no word labels are left after .* shorten `lengths`"):
        made.new("word")
    assert made.new("number")
