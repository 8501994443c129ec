"""Haystacks: streams of text pieces, and weaving evidence into them at given depths.

Every piece carries its own separator at its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from random import Random

from sparsebench.tasks.prose import sentences
from sparsebench.tasks.window import Window, too_short

NOISE = ("The road is long. ", "The lamp is lit. ", "The well is deep. ", "On we walk. ", "Out and home again.\n")


def noise() -> Iterator[str]:
    """The same five short sentences, again and again."""
    return cycle(NOISE)


def prose(draw: Random) -> Iterator[str]:
    """Made-up sentences, none of them twice, in paragraphs."""
    for i, sentence in enumerate(sentences(draw), start=1):
        yield sentence + ("\n\n" if i % 6 == 0 else " ")


def arrange(counts: Sequence[int], depths: Sequence[float]) -> list[tuple[bool, int]]:
    """Order in which hay (of ``counts`` tokens each) and needles follow each other.

    Each needle stands at its depth, a share of the hay's tokens in [0, 1).

    Returns
    -------
    Pairs (is it a needle, its index), all hay in its own order.
    """
    order: list[tuple[bool, int]] = []
    waiting = sorted(range(len(depths)), key=lambda needle: depths[needle], reverse=True)
    total, passed = sum(counts), 0
    for i, count in enumerate(counts):
        while waiting and depths[waiting[-1]] * total < passed:
            order.append((True, waiting.pop()))
        order.append((False, i))
        passed += count
    return order + [(True, needle) for needle in reversed(waiting)]


def weave(
    hay: Sequence[str], counts: Sequence[int], needles: Sequence[str], depths: Sequence[float]
) -> tuple[str, tuple[int, ...]]:
    """Put each needle at its depth, see :func:`arrange`.

    Returns
    -------
    text, offsets
        The context without trailing space, and the character offset of each needle in the order given.
    """
    parts: list[str] = []
    offsets = [0] * len(needles)
    length = 0
    for is_needle, i in arrange(counts, depths):
        piece = needles[i] if is_needle else hay[i]
        if is_needle:
            offsets[i] = length
        parts.append(piece)
        length += len(piece)
    return "".join(parts).rstrip(), tuple(offsets)


def _added(window: Window, needles: Sequence[str]) -> int:
    """Tokens that needles add to a text when each stands between two sentences."""
    between = NOISE[0]
    with_needles = window.measure([between, *(piece for needle in needles for piece in (needle, between))])
    return sum(with_needles) - sum(window.measure([between] * (len(needles) + 1)))


def hide(
    task: str,
    window: Window,
    head: str,
    tail: str,
    answer_prefix: str,
    hay: Iterator[str],
    needles: Sequence[str],
    depths: Sequence[float],
    top: Iterator[str] | None = None,
) -> tuple[str, tuple[int, ...]]:
    """User's message of ``head``, hay with ``needles`` woven in, and ``tail``, filling the window.

    Pieces of hay that are long leave a gap at the end, which the short pieces of ``top`` close (noise if None).

    Returns
    -------
    user, evidence
        The message and the character offset of each needle in it.
    """
    # What follows a needle may begin a token otherwise than after a sentence; not every time, and by one token.
    room = window.room(head + tail, answer_prefix, reserve=_added(window, needles) + len(needles) // 4)
    if room < 0:
        # At least 95 % must be filled, so a window that just holds the needles would do.
        raise too_short(task, window, window.length_tok - room)
    pieces, counts = window.fill(room, hay)
    short, short_counts = window.fill(room - sum(counts), top or noise())
    context, offsets = weave(pieces + short, counts + short_counts, needles, depths)
    return head + context + tail, tuple(len(head) + offset for offset in offsets)
