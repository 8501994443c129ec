"""Scaling of rotary positions beyond a model's native length, as the config states it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from sparsebench.errors import UserError
from sparsebench.spec import Spec

_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # required and optional, beside the three of all types
    "linear": ((), ()),
    "yarn": ((), ("attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate")),
    "llama3": (("low_freq_factor", "high_freq_factor"), ()),
    "longrope": (("short_factor", "long_factor"), ("attention_factor",)),
}
_KEPT = ("rope_theta", "partial_rotary_factor")  # the model's own, whatever the scaling

Factors = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]


class Rope(Spec):
    """RoPE scaling under the names that transformers gives its parameters; replaces what the model's config states.

    The types are linear interpolation (arXiv:2306.15595), YaRN (arXiv:2309.00071), Llama 3.1's and LongRoPE
    (arXiv:2402.13753).
    """

    rope_type: Literal["linear", "yarn", "llama3", "longrope"]
    factor: Annotated[float, Field(gt=1, allow_inf_nan=False)] = Field(description="longest length over the native one")
    original_max_position_embeddings: Annotated[int, Field(ge=1)] = Field(description="native length in tokens")
    attention_factor: float | None = Field(None, description="factor on cosines and sines (yarn, longrope)")
    beta_fast: float | None = Field(None, description="turns above which channels keep their frequency (yarn)")
    beta_slow: float | None = Field(None, description="turns below which channels are interpolated (yarn)")
    mscale: float | None = Field(None, description="for the attention factor (yarn)")
    mscale_all_dim: float | None = Field(None, description="for the attention factor (yarn)")
    truncate: bool | None = Field(None, description="round the bounds of the ramp to channels (yarn)")
    low_freq_factor: float | None = Field(None, description="end of the interpolated wavelengths (llama3)")
    high_freq_factor: float | None = Field(None, description="start of the kept wavelengths (llama3)")
    short_factor: Factors | None = Field(None, description="per channel, up to the native length (longrope)")
    long_factor: Factors | None = Field(None, description="per channel, beyond it (longrope)")

    @model_validator(mode="after")
    def _keys_of_its_type(self) -> Rope:
        required, optional = _KEYS[self.rope_type]
        given = set(self.model_dump(exclude_none=True)) - {"rope_type", "factor", "original_max_position_embeddings"}
        missing, surplus = sorted(set(required) - given), sorted(given - {*required, *optional})
        if missing:
            raise ValueError(f"{self.rope_type} needs {', '.join(missing)}")
        if surplus:
            allowed = ", ".join([*required, *optional]) or "none beside factor and original_max_position_embeddings"
            raise ValueError(f"{self.rope_type} takes no {', '.join(surplus)}; allowed: {allowed}")
        return self

    @property
    def length_tok(self) -> int:
        """Longest prompt plus answer that the scaling is made for."""
        return int(self.factor * self.original_max_position_embeddings)

    def put_into(self, config: Any) -> None:
        """Set the scaling in a transformers config (of the text model); layers with a sliding window keep theirs."""
        old = config.rope_parameters or {}
        nested = "full_attention" in old
        kept = {key: value for key, value in (old["full_attention"] if nested else old).items() if key in _KEPT}
        new = kept | self.model_dump(exclude_none=True, mode="json")
        config.rope_parameters = {**old, "full_attention": new} if nested else new
        config.max_position_embeddings = self.length_tok
        if hasattr(config, "original_max_position_embeddings"):  # some families state it outside, and read it there
            config.original_max_position_embeddings = self.original_max_position_embeddings
        config.standardize_rope_params()
        config.validate_rope()


def never_closes(window: int | None, config: Any) -> bool:
    """Whether a sliding window is as long as the longest sequence that the model takes: such a layer is global."""
    return window is not None and window >= (getattr(config, "max_position_embeddings", None) or 2**31)


def long_above(config: Any) -> int | None:
    """Length in tokens above which a sequence takes LongRoPE's long factors; None for other scalings."""
    rope = config.rope_parameters or {}
    return int(rope["original_max_position_embeddings"]) if rope.get("rope_type") == "longrope" else None


def settle(config: Any, longest_tok: int) -> None:
    """Make positions independent of what runs together, for sequences of at most ``longest_tok``.

    transformers picks LongRoPE's short or long factors anew in every forward pass, by the greatest position in it. So
    rows that decode together would change each other, and so would the chunks of a prompt. All sequences of a cell take
    the factors that the longest of them needs.

    Raises ``UserError`` for scaling by the length seen so far (``dynamic``), which cannot be settled this way.
    """
    rope = config.rope_parameters or {}
    kinds = {part.get("rope_type") for part in rope.values() if isinstance(part, dict)} | {rope.get("rope_type")}
    if "dynamic" in kinds:
        raise UserError(
            "the model scales its positions by rope_type 'dynamic', which changes with the length seen so far: rows "
            f"that run together would change each other; state `rope` in its config entry (allowed: {', '.join(_KEYS)})"
        )
    switch = long_above(config)
    if switch is not None:
        kept, replaced = ("long_factor", "short_factor") if longest_tok > switch else ("short_factor", "long_factor")
        rope[replaced] = rope[kept]
