"""The list of common words."""

from __future__ import annotations

from pathlib import Path

from sparsebench.synthesis import draw_of
from sparsebench.tasks.ruler_cwe import RulerCwe
from sparsebench.tasks.vocabulary import listed_words
from sparsebench.tasks.window import Window, load_tokenizer


def test_the_kind_of_a_word_does_not_tell_whether_it_is_common(tokenizer_dir: Path) -> None:
    """Long lists need more words than are shipped: made-up ones are among the common ones too."""
    task, window = RulerCwe(common=40, freq_common=6, freq_rare=2), Window(load_tokenizer(tokenizer_dir), 32768)
    listed = set(listed_words())
    common: list[str] = []
    rare: list[str] = []
    for index in range(3):
        sample = task.synthesise(draw_of(task, 5, index, "tiny", 32768), window)
        words = set(sample.user.partition("List:\n")[2].split("\n\n")[0].split()[1::2])
        assert set(sample.answers) <= words
        common += sample.answers
        rare += words - set(sample.answers)
    shares = [sum(word not in listed for word in words) / len(words) for words in (common, rare)]
    assert 0.1 < shares[1] < 0.9 and abs(shares[0] - shares[1]) < 0.15, shares
