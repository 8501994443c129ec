"""The length a prompt may fill: tokens of one tokenizer, chat template included."""

from __future__ import annotations

import hashlib
import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsebench.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LEAST_FILL = 0.95
"""Every prompt fills at least this share of the length asked for, and never more than the whole."""

_USER = "\ue000user\ue000"
"""Stands for the user's message while the chat template is rendered; private-use characters occur in no text."""

_FIXED_CONTEXT = {
    # Templates of some families print today's date or open a reasoning block: samples must not change by the day,
    # and the answer prefix has to follow the assistant's header directly.
    "enable_thinking": False,
    "date_string": "01 Jan 2025",
    "strftime_now": lambda form: "2025-01-01",
}


_PLAIN = ("PreTrainedTokenizerFast", "TokenizersBackend")

_BEFORE_WORD = re.compile(r"(?<=\S)(?= \S)")
"""Where a single space parts two words: few tokenizers have tokens that reach over it."""

_MOST_REMEMBERED = 200_000


class Misfit(UserError):
    """A prompt that does not fill its length, or is longer by ``excess_tok``."""

    def __init__(self, message: str, excess_tok: int) -> None:
        super().__init__(message)
        self.excess_tok = excess_tok


@dataclass(frozen=True)
class Encoded:
    """A prompt as the model gets it; ``evidence_tok`` are token offsets of the evidence, ascending."""

    prompt: str
    ids: list[int]
    evidence_tok: list[int]


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Tokenizer of a local model folder; ``UserError`` if it is missing or cannot tell offsets."""
    # Here, as every start of Snakemake would take their time.
    if _plain(folder):
        from transformers import PreTrainedTokenizerFast as Loader  # what AutoTokenizer finds too, but not by torch
    else:
        from transformers import AutoTokenizer as Loader

    try:
        tokenizer = Loader.from_pretrained(str(folder))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder}: no tokenizer that transformers can load ({error})") from None
    if not tokenizer.is_fast:
        raise UserError(f"{folder}: {type(tokenizer).__name__} gives no offsets; a tokenizer.json is needed")
    return tokenizer


def vocabulary_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Digest of which token each id stands for: models that answer each other's samples share it."""
    entries = sorted((i, token) for token, i in tokenizer.get_vocab().items())
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()[:16]


def _plain(folder: Path) -> bool:
    """Whether transformers saved the tokenizer as of no family's own class, so that it needs not look for one."""
    try:
        stated = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return (
        stated.get("backend") == "tokenizers" and stated.get("tokenizer_class") in _PLAIN and "auto_map" not in stated
    )


class Window:
    """Counts tokens and renders prompts for one tokenizer and one length.

    Parameters
    ----------
    tokenizer
        A fast tokenizer. Its chat template is used if it has one; else the prompt is the plain text.
    length_tok
        Tokens that a prompt must fill to 95-100 %.
    by_words
        Whether text may be measured word by word, see :meth:`sizes`; otherwise it is encoded as it stands.
    margin_tok
        Tokens kept back, because joining texts may move the boundaries of tokens.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, length_tok: int, by_words: bool = True, margin_tok: int = 6
    ) -> None:
        self.length_tok = length_tok
        self.by_words = by_words
        self.margin_tok = margin_tok
        self._tokenizer = tokenizer
        self._backend: Any = tokenizer.backend_tokenizer
        # A tokenizer.json may ask for truncation, which would silently shorten prompts.
        self._backend.no_truncation()
        self._backend.no_padding()
        self._before, self._after = self._template()
        self._counts: dict[str, int] = {}
        self._words: dict[str, int] = {}

    def after(self, misfit: Misfit) -> Window:
        """The window for another try: first nothing is measured word by word, then the excess is kept back too."""
        margin_tok = self.margin_tok + (0 if self.by_words else max(0, misfit.excess_tok))
        return Window(self._tokenizer, self.length_tok, by_words=False, margin_tok=margin_tok)

    def _template(self) -> tuple[str, str]:
        if not self._tokenizer.chat_template:
            return "", "\n"
        turns = [{"role": "user", "content": _USER}]
        options: dict[str, Any] = {"add_generation_prompt": True, "tokenize": False, **_FIXED_CONTEXT}
        text = self._tokenizer.apply_chat_template(turns, **options)
        parts = text.split(_USER)
        if len(parts) != 2:
            raise UserError(
                f"{self._tokenizer.name_or_path}: the chat template shows the user's message {len(parts) - 1} times, "
                "expected once"
            )
        return parts[0], parts[1]

    def _encode(self, text: str, special: bool = False) -> Any:
        return self._backend.encode(text, add_special_tokens=special)

    def count(self, text: str) -> int:
        """Tokens of ``text`` by itself; remembered, so that words may be counted again and again."""
        if text not in self._counts:
            self._counts[text] = len(self._encode(text).ids)
        return self._counts[text]

    def measure(self, pieces: Sequence[str]) -> list[int]:
        """Tokens of each piece where the pieces follow each other: one encoding of the joined text.

        A token belongs to the piece in which it begins.
        """
        # Some tokenizers treat the beginning of a text as that of a word: let the pieces stand after something.
        ends, total = [1], 1
        for piece in pieces:
            total += len(piece)
            ends.append(total)
        starts = [start for start, _ in self._encode("\n" + "".join(pieces)).offsets]
        bounds = [bisect_right(starts, end - 1) for end in ends]
        return [high - low for low, high in pairwise(bounds)]

    def sizes(self, pieces: Sequence[str]) -> Iterator[int]:
        """Tokens of each piece where they follow each other, as :meth:`measure`, but each word is encoded only once.

        Words are those parted by single spaces. If their tokens do not add up to those of the first pieces, encoded as
        they stand, this tokenizer joins words, and all pieces are encoded.
        """
        # White space at the end has other tokens than before a word.
        first = [*pieces[:16], "End"]
        if not self.by_words or sum(self._sum_words(first)) != sum(self.measure(first)):
            return iter(self.measure(pieces))
        return self._sum_words(pieces)

    def _sum_words(self, pieces: Sequence[str]) -> Iterator[int]:
        split: list[list[str]] = []
        space = ""
        for piece in pieces:
            text = space + piece
            # A space at the end belongs to the word that follows in the next piece.
            space = " " if text.endswith(" ") else ""
            split.append(_BEFORE_WORD.split(text.removesuffix(space)))
        known = self._words
        if len(known) > _MOST_REMEMBERED:
            known.clear()
        new = list({word: None for words in split for word in words if word not in known})
        # Before a word with a space stands another word, before any other a line break; after a line break a word.
        around = [("a" if word.startswith(" ") else "\n", "A" if word[-1:].isspace() else "") for word in new]
        texts = [before + word + after for word, (before, after) in zip(new, around, strict=True)]
        for word, (before, after), encoding in zip(new, around, self._encode_all(texts), strict=True):
            known[word] = len(encoding) - self.count(before) - len(after)
        return (sum(map(known.__getitem__, words)) for words in split)

    def _encode_all(self, texts: Sequence[str]) -> Any:
        return self._backend.encode_batch_fast(texts, add_special_tokens=False)

    def cut(self, text: str, room: int) -> str:
        """The longest beginning of ``text`` that has at most ``room`` tokens and ends at the end of a word.

        Scripts that do not part words by spaces are cut between characters.
        """
        offsets = self._encode(text).offsets
        if len(offsets) <= room:
            return text
        part = text[: offsets[room][0]]
        words = part.rsplit(maxsplit=1)
        return words[0] if len(words) == 2 and len(words[1]) < 25 else part

    def room(self, frame: str, answer_prefix: str, reserve: int = 0) -> int:
        """Tokens left beside ``frame`` (the user's message without its context) and the answer prefix.

        ``margin_tok`` is kept back; ``reserve`` keeps back more.
        """
        text = self._before + frame + self._after + answer_prefix
        return self.length_tok - len(self._encode(text, not self._before).ids) - self.margin_tok - reserve

    def fill(self, room: int, pieces: Iterator[str]) -> tuple[list[str], list[int]]:
        """Take pieces while they fit into ``room`` tokens; returns them with their token counts.

        Pieces are measured in batches. The first piece that does not fit ends it.
        """
        taken: list[str] = []
        counts: list[int] = []
        # The first batch is small: it only tells how long pieces are.
        size_of_batch = 16
        while room > 0:
            batch = list(islice(pieces, size_of_batch))
            if not batch:
                break
            sizes = list(self.sizes(batch))
            for piece, size in zip(batch, sizes, strict=True):
                if size > room:
                    return taken, counts
                taken.append(piece)
                counts.append(size)
                room -= size
            size_of_batch = 1 + int(room * len(sizes) / max(1, sum(sizes)))
        return taken, counts

    def render(self, user: str, answer_prefix: str) -> str:
        """Whole prompt: chat template, user's message, assistant's first words."""
        return self._before + user + self._after + answer_prefix

    def encode(self, user: str, answer_prefix: str, evidence: Sequence[int], where: str) -> Encoded:
        """Encode the whole prompt and check that it fills 95-100 % of the length.

        Raises
        ------
        Misfit
            If it does not; ``where`` names the task in the message.
        """
        prompt = self.render(user, answer_prefix)
        encoding = self._encode(prompt, not self._before)
        ids: list[int] = encoding.ids
        if not LEAST_FILL * self.length_tok <= len(ids) <= self.length_tok:
            raise Misfit(
                f"{where}: a prompt of {len(ids)} tokens does not fill 95-100 % of {self.length_tok}; "
                "choose another length or smaller task parameters",
                len(ids) - self.length_tok,
            )
        starts = [start for start, _ in encoding.offsets]
        lead = len(self._before)
        # Special tokens added at the end report offset 0, which would break the order that bisect needs.
        while len(starts) > 1 and starts[-1] < starts[-2]:
            starts.pop()
        places = sorted(max(0, bisect_right(starts, lead + offset) - 1) for offset in evidence)
        return Encoded(prompt, ids, places)


def too_short(task: str, window: Window, needed_tok: int, spare: float = 0.1) -> UserError:
    """Error for a length at which the task cannot exist; ``needed_tok`` is the least that would do for one sample.

    A share of ``spare`` more is named, because words of other samples have more tokens.
    """
    return UserError(
        f"task {task}: needs about {int((1 + spare) * needed_tok)} tokens with these parameters and this tokenizer, "
        f"got length {window.length_tok}; set a longer length or smaller parameters in the config"
    )
