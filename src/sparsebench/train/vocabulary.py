"""The tokenizer of the reference models: whole words of the closed vocabulary, bytes for anything else."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from sparsebench.tasks.base import Task
from sparsebench.tasks.draw import Draw, stable_seed
from sparsebench.tasks.names import PEOPLE, PLACES
from sparsebench.tasks.window import Window
from sparsebench.tasks.words import words

USER, ASSISTANT, END, PAD = "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"
_LISTS = ("adjectives", "adverbs", "nouns", "people", "places", "verbs")
_TEMPLATE = (
    "{% for m in messages %}{{ '" + ASSISTANT + "' if m['role'] == 'assistant' else '" + USER + "' }}{{ m['content'] }}"
    "{{ '" + END + "' if m['role'] == 'assistant' else '' }}{% endfor %}"
    "{{ '" + ASSISTANT + "' if add_generation_prompt else '' }}"
)
_MOST = 4096


def _any(options: Iterable[str]) -> str:
    return "(?:" + "|".join(sorted(options, key=lambda option: (-len(option), option))) + ")"


def _parts() -> str:
    """Alternatives that take the first and the middle part of made-up names; what is left is a word."""
    forms = []
    for first, middle, last in (PLACES, PEOPLE):
        end = rf"(?={_any(last)}\b)"
        forms += [rf" ?{_any(first)}(?={_any(middle)}{_any(last)}\b)", rf"{_any(middle)}{end}"]
    return "|".join(forms)


PATTERN = "|".join(
    (
        r" ?VAR\b",
        r" [A-Z](?=[A-Z])",
        r"[A-Z]{2}(?![a-z])",
        _parts(),
        r"[0-9]{1,3}",
        r"-[a-z]+",
        r" ?[A-Za-z][a-z]*",
        r" ?[^\sA-Za-z0-9]+\n*",
        r"\s+(?=\s[A-Za-z])",
        r"\s+",
    )
)
"""Where text is cut before the vocabulary is looked up; each piece in it is one token, others fall to bytes.

Variables (five capitals) take three tokens, numbers one per three digits, word pairs two, made-up names three.
"""


def _closed() -> list[str]:
    """Pieces that the tasks draw at random: lists, numbers, variables, names."""
    listed = [word for name in _LISTS for word in words(name)]
    pieces = [f" {word}" for word in listed] + [f"-{word}" for word in words("nouns")]
    pieces += [str(n).zfill(width) for width in (1, 2, 3) for n in range(10**width)]
    pieces += [f" {letter}" for letter in ascii_uppercase] + [
        "".join(pair) for pair in product(ascii_uppercase, repeat=2)
    ]
    for first, middle, last in (PLACES, PEOPLE):
        pieces += [f" {part}" for part in first] + [*first, *middle, *last]
    return list(dict.fromkeys(pieces))


def _assemble(pieces: Iterable[str]) -> PreTrainedTokenizerFast:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    entries = [PAD, USER, ASSISTANT, END, *sorted(alphabet)]
    entries += [level.pre_tokenize_str(piece)[0][0] for piece in pieces]
    vocab = {entry: i for i, entry in enumerate(dict.fromkeys(entries))}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=[], ignore_merges=True))
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"), level])
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[USER, ASSISTANT],
        clean_up_tokenization_spaces=False,
        model_max_length=8192,
    )
    tokenizer.chat_template = _TEMPLATE
    return tokenizer


def build_tokenizer(tasks: Mapping[str, Task]) -> PreTrainedTokenizerFast:
    """Byte-level BPE of at most 4,096 entries in which every piece of the tasks' texts is one entry.

    Words of the templates are found by making samples of ``tasks`` (label to task); the rest is listed. Any other text
    falls to its bytes and comes back exactly.
    """
    pieces = _closed()
    window = Window(_assemble(pieces), 8192)
    found: Counter[str] = Counter()
    for label, task in sorted(tasks.items()):
        for index in range(24):
            draw = Draw(stable_seed("vocabulary", label, index), index, label, training=True)
            sample = task.synthesise(draw, window)
            found.update(re.findall(PATTERN, window.render(sample.user, sample.answer_prefix + sample.perfect)))
    room = _MOST - 260 - len(pieces)
    common = sorted(found, key=lambda piece: (-found[piece], piece))
    known = set(pieces)
    template = [
        p for p in common if p not in known and p not in (USER, ASSISTANT, END) and "<|" not in p and "|>" not in p
    ]
    return _assemble(pieces + template[:room])


class Encoder:
    """Encodes the tasks' plain ASCII text much faster than the tokenizer itself, to the same ids (a test compares)."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._pattern = re.compile(PATTERN)
        self._ids: dict[str, list[int]] = {}
        specials = {token: int(tokenizer.convert_tokens_to_ids(token)) for token in (USER, ASSISTANT, END, PAD)}
        self.user, self.assistant, self.end, self.pad = specials.values()

    def __call__(self, text: str) -> list[int]:
        """Token ids of ``text``, which holds no special token."""
        ids: list[int] = []
        known = self._ids
        for piece in self._pattern.findall(text):
            if piece not in known:
                known[piece] = self.tokenizer.backend_tokenizer.encode(piece, add_special_tokens=False).ids
            ids += known[piece]
        return ids


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and the chat template for ``AutoTokenizer``."""
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config: dict[str, Any] = json.loads(path.read_text())
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
