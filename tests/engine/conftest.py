"""What stands in for a tokenizer."""

from __future__ import annotations


class SpelledTokens:
    """A tokenizer as far as the generator needs one: each id is spelled as a word."""

    eos_token_id = None

    def decode(self, ids: list[int], skip_special_tokens: bool = True) -> str:
        return " ".join(f"t{i}" for i in ids)
