"""FLOPs of a prompt and bytes of a generated token, from a model's shape and what was measured.

Matrix products alone are counted, a multiply-add as two FLOPs: no softmax, norms, sorting or sampling. Bytes are those
of one row that decodes by itself: weights are read once per token, activations not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from sparsebench.cost.shape import ITEMSIZE, ModelShape
from sparsebench.counting import causal_pairs
from sparsebench.methods.base import DecodeMethod, PrefillMethod


@dataclass(frozen=True)
class PrefillCost:
    """FLOPs of one prompt.

    ``linear``: all matrix products with weights, the output layer for the last token alone. ``attended``: pairs that
    were attended to. ``estimation``: what methods compute in order to choose, of both phases.
    """

    linear: float
    attended: float
    estimation: float

    @property
    def attention(self) -> float:
        return self.attended + self.estimation

    @property
    def total(self) -> float:
        return self.linear + self.attention


@dataclass(frozen=True)
class DecodeCost:
    """Bytes read per generated token: ``weights``, ``entries`` of the KV cache, and the method's own ``metadata``."""

    weights: float
    entries: float
    metadata: float

    @property
    def kv(self) -> float:
        return self.entries + self.metadata

    @property
    def total(self) -> float:
        return self.weights + self.kv


def prefill_cost(
    shape: ModelShape, length: float, density: float, prefill: PrefillMethod, decode: DecodeMethod
) -> PrefillCost:
    """FLOPs of a prompt of ``length`` tokens: linear layers + 4 D H pairs density + estimation.

    Parameters
    ----------
    density
        Measured share of causal query-key pairs in global layers, in (0, 1]. Sliding layers compute their whole window.
    prefill, decode
        The methods; each states what its estimate takes.
    """
    T = round(length)
    output = shape.hidden * shape.vocabulary
    pairs = shape.global_layers * causal_pairs(T) * density
    pairs += (shape.layers - shape.global_layers) * shape.window_pairs(T)
    estimation = prefill.estimation_flops(T, shape.attention) + decode.preparation_flops(T, shape.attention)
    return PrefillCost(
        linear=2.0 * (shape.active_parameters - output) * T + 2.0 * output,
        attended=4.0 * shape.head_dim * shape.heads * pairs,
        estimation=shape.global_layers * estimation,
    )


def decode_cost(shape: ModelShape, length: float, generated: float, density: float, decode: DecodeMethod) -> DecodeCost:
    """Bytes per token, mean over an answer of ``generated`` tokens after a prompt of ``length``.

    Parameters
    ----------
    density
        Measured share of the prompt's KV entries read per step in global layers. The answer so far is read whole;
        sliding layers read their window.
    """
    return DecodeCost(
        weights=float(shape.active_parameters * ITEMSIZE),
        entries=entry_bytes(shape, length, density, (generated + 1) / 2),
        metadata=shape.global_layers * decode.metadata_bytes(round(length), shape.attention, ITEMSIZE),
    )


def entry_bytes(shape: ModelShape, length: float, density: float, suffix: float = 0.0) -> float:
    """Bytes of K and V that one row reads in a step: ``density`` of the prompt and ``suffix`` tokens of its answer.

    Sliding layers read their window, whatever the density.
    """
    entries = shape.global_layers * (length * density + suffix)
    reach = length + suffix
    entries += (shape.layers - shape.global_layers) * min(reach, shape.window_tok or reach)
    return 2.0 * shape.kv_heads * shape.head_dim * ITEMSIZE * entries
