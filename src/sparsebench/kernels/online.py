"""The two steps that every attention kernel here repeats: logits of a tile, and the running softmax over tiles.

Logits are in base 2 (the factor log2 e is folded into the scale), since the hardware computes powers of two, and stay
unscaled until they meet the maximum: scale and subtraction are then one instruction.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def logits_of(q, k, scale, cap, CAP: tl.constexpr, PRECISION: tl.constexpr):
    """Logits [m, n] of queries [m, D] and keys [n, D]; with CAP they come out scaled, capped and in base 2."""
    logits = tl.dot(q, tl.trans(k), input_precision=PRECISION)
    if CAP:
        # tanh x = 1 - 2 / (exp(2 x) + 1), which saturates cleanly at both ends; 2.885 = 2 log2 e, 1.4427 = log2 e
        inner = logits * (scale * 2.8853900817779268 / cap)
        logits = (cap * 1.4426950408889634) * (1.0 - 2.0 / (tl.exp2(inner) + 1.0))
    return logits


@triton.jit
def attend_tile(logits, v, scale, m, norm, acc, CAP: tl.constexpr, PRECISION: tl.constexpr):
    """One step of the running softmax (arXiv:1805.02867): returns the new maximum, sum and weighted values.

    ``scale`` is positive; with CAP it has been applied already.
    """
    factor = 1.0 if CAP else scale * 1.4426950408889634
    m_new = tl.maximum(m, tl.max(logits, 1) * factor)
    p = tl.exp2(logits * factor - m_new[:, None])
    shrink = tl.exp2(m - m_new)
    norm = norm * shrink + tl.sum(p, 1)
    acc = tl.dot(p.to(v.dtype), v, acc * shrink[:, None], input_precision=PRECISION)
    return m_new, norm, acc
