"""Micro-batches of training samples, made by worker processes that follow the curriculum."""

from __future__ import annotations

import multiprocessing
import os
import queue
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsebench.errors import UserError
from sparsebench.tasks.base import Task
from sparsebench.tasks.draw import Draw, stable_seed
from sparsebench.tasks.vocabulary import listed_words
from sparsebench.tasks.window import Window, load_tokenizer
from sparsebench.train.ladder import Curriculum, Level
from sparsebench.train.turns import Turn, first_turn, more_turns
from sparsebench.train.vocabulary import Encoder

IntArray = npt.NDArray[np.int64]

MOST_ALLOWED = 16
"""Most right continuations of one position that are kept."""

SEPARATOR = 0.5
"""Weight of a separator's loss beside that of an answer's token."""


@dataclass
class Batch:
    """Samples of one level, padded at the end.

    ids [B, T]; ``where`` [N] flat positions whose next token is learnt; ``allowed`` [N, A] token ids that are right
    there, the sample's own first, -1 for none; ``weights`` [N]; ``answer`` [N] index of the answer a token belongs to,
    -1 for separators; ``lists`` [R, K] places in ``where`` of answers in any order, where all are of one token.
    """

    task: str
    level: int
    ids: npt.NDArray[np.int16]
    where: IntArray
    allowed: npt.NDArray[np.int16]
    weights: npt.NDArray[np.float32]
    answer: IntArray
    lists: IntArray
    uses: int = 0


class Row:
    """Builds the tokens and targets of one sample."""

    def __init__(self, encoder: Encoder) -> None:
        self._encode = encoder
        self.ids: list[int] = []
        self.targets: list[tuple[int, list[int], int]] = []
        self.lists: list[list[int]] = []
        self.answers = 0

    def add(self, turn: Turn, limit: int) -> bool:
        """Append a turn unless it would make the row longer than ``limit`` tokens."""
        encode = self._encode
        ask = [encode.user, *encode(turn.user), encode.assistant, *encode(turn.prefix)]
        parts = [(encode(text), flag) for text, flag in turn.parts]
        if len(self.ids) + len(ask) + sum(len(ids) for ids, _ in parts) + 1 > limit:
            return False
        self.ids += ask
        left = [ids for ids, flag in parts if flag]
        loose = turn.any_order and all(len(ids) == 1 for ids in left)
        places = []
        for ids, flag in [*parts, ([encode.end], False)]:
            for i, token in enumerate(ids):
                right = [token]
                if flag and turn.any_order:
                    others = {other[i] for other in left if other[:i] == ids[:i] and len(other) > i}
                    right += sorted(others - {token})
                if flag:
                    places.append(len(self.targets))
                self.targets.append((len(self.ids) - 1, right[:MOST_ALLOWED], self.answers if flag else -1))
                self.ids.append(token)
            if flag:
                left.remove(ids)
                self.answers += 1
        if loose and len(places) <= MOST_ALLOWED:
            self.lists.append(places)
        return True


def _copy(draw: Draw, level: Level) -> list[Turn]:
    """Words in random order, then stretches of them: the first words of a stretch are given, the others are to be said.

    Stretches begin anywhere: what follows a word in the text tells how to go on, no fixed distance does. With ``pool``
    words stand in the text more than once, and two of them tell what follows.
    """
    count = level.total_tok // 2 - 2
    pool = level.params.get("pool", 0)
    said = draw.sample(listed_words(), pool or count)
    if pool:
        pairs: set[tuple[str, str]] = set()
        several, said = said, draw.sample(said, 2)
        while len(said) < count:
            free = [word for word in draw.choices(several, k=8) if (said[-1], word) not in pairs]
            if not free:
                break
            pairs.add((said[-1], free[0]))
            said.append(free[0])
    given = 2 if pool else 1
    turns = []
    for _ in range(level.total_tok // 16):
        length = draw.randrange(3, 9)
        start = draw.randrange(0, len(said) - given - length)
        words = [f" {word}" for word in said[start : start + given + length]]
        turns.append(Turn("", "".join(words[:given]), tuple((word, True) for word in words[given:])))
    turns[0] = replace(turns[0], user="".join(f" {word}" for word in said))
    return turns


def make_row(task: Task | None, level: Level, window: Window, draw: Draw, encoder: Encoder) -> Row:
    """One sample of ``level``: the first turn, then as many more as fit; ``task`` None is the copy task."""
    row = Row(encoder)
    if task is None:
        first, *more = _copy(draw, level)
    else:
        sample = task.synthesise(draw, window)
        first, more = first_turn(task, sample), list(more_turns(task, sample, draw))
    if not row.add(first, level.total_tok):
        raise UserError(f"{task}: the first turn is longer than {level.total_tok} tokens; raise `extra` of its ladder")
    for turn in more:
        if not row.add(turn, level.total_tok):
            break
    return row


def collate(task: str, level: int, total_tok: int, rows: list[Row], pad: int) -> Batch:
    """Put rows into one padded batch."""
    ids = np.full((len(rows), total_tok), pad, dtype=np.int16)
    where: list[int] = []
    allowed, answer = [], []
    lists: list[list[int]] = []
    answers = 0
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = row.ids
        lists += [[len(where) + place for place in places] for places in row.lists]
        for position, right, index in row.targets:
            where.append(i * total_tok + position)
            allowed.append(right + [-1] * (MOST_ALLOWED - len(right)))
            answer.append(index + answers if index >= 0 else -1)
        answers += row.answers
    answer_of = np.array(answer, dtype=np.int64)
    weights = np.where(answer_of >= 0, 1.0, SEPARATOR).astype(np.float32)
    alike = len({len(places) for places in lists}) == 1
    same = np.array(lists if alike else np.empty((0, 0)), dtype=np.int64)
    return Batch(task, level, ids, np.array(where), np.array(allowed, dtype=np.int16), weights, answer_of, same)


class Maker:
    """Makes micro-batches of any level of the curriculum, in one process."""

    def __init__(self, tasks: Mapping[str, Task], curriculum: Curriculum, tokenizer_dir: Path, tokens: int) -> None:
        self._tasks, self._levels, self._tokens = tasks, curriculum.levels, tokens
        self._tokenizer = load_tokenizer(tokenizer_dir)
        self._encoder = Encoder(self._tokenizer)
        self._windows: dict[int, Window] = {}

    def _window(self, length_tok: int) -> Window:
        if length_tok not in self._windows:
            self._windows[length_tok] = Window(self._tokenizer, length_tok)
        return self._windows[length_tok]

    def batch(self, name: str, index: int, random: Random) -> Batch:
        """About ``tokens`` tokens of level ``index`` of task ``name``."""
        level = self._levels[name][index]
        task: Any = None
        if name != "copy":
            task = replace(self._tasks[name], **level.params)  # type: ignore[type-var]
        rows = []
        for _ in range(max(1, self._tokens // level.total_tok)):
            seed = random.getrandbits(62)
            draw = Draw(seed, seed % 1_000_003, name, training=True)
            # Lengths in between too, so that no position is tied to a length; the longest most often.
            share = draw.choice((1.0, 1.0, 0.95, 0.9)) if task else 1.0
            try:
                row = make_row(task, level, self._window(int(level.prompt_tok * share)), draw, self._encoder)
            except UserError:  # what the level asks for does not fit in less than its whole length
                row = make_row(task, level, self._window(level.prompt_tok), draw, self._encoder)
            rows.append(row)
        return collate(name, index, level.total_tok, rows, self._encoder.pad)


def _work(maker_args: tuple[Any, ...], seed: int, keys: list[tuple[str, int]], shares: Any, out: Any) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    maker, random = Maker(*maker_args), Random(seed)
    parent = os.getppid()
    while os.getppid() == parent:
        name, level = random.choices(keys, weights=list(shares))[0]
        batch = maker.batch(name, level, random)
        while os.getppid() == parent:
            try:
                out.put(batch, timeout=5)
                break
            except queue.Full:
                continue


class Feed:
    """Micro-batches from ``workers`` processes; when they lag behind, recent ones are given again.

    Parameters
    ----------
    most_uses
        How often one micro-batch is given at most.
    """

    def __init__(self, maker_args: tuple[Any, ...], workers: int, seed: int, most_uses: int = 3) -> None:
        curriculum: Curriculum = maker_args[1]
        self._keys = [(task, level) for task, levels in curriculum.levels.items() for level in range(len(levels))]
        context = multiprocessing.get_context("spawn")
        self._shares = context.Array("d", len(self._keys), lock=False)
        self.follow(curriculum)
        self._queue = context.Queue(maxsize=2 * workers)
        self._recent: deque[Batch] = deque(maxlen=64)
        self._random = Random(seed)
        self._most_uses = most_uses
        self.fresh = self.again = 0
        self._processes = []
        for worker in range(workers):
            arguments = (maker_args, stable_seed("worker", seed, worker), self._keys, self._shares, self._queue)
            process = context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            self._processes.append(process)

    def follow(self, curriculum: Curriculum) -> None:
        """Draw by the curriculum's mix from now on."""
        mix = curriculum.mix()
        for i, key in enumerate(self._keys):
            self._shares[i] = mix.get(key, 0.0)

    def next(self) -> Batch:
        """The next micro-batch, fresh if there is one."""
        while True:
            try:
                batch: Batch = self._queue.get_nowait()
                break
            except queue.Empty:
                usable = [old for old in self._recent if old.uses < self._most_uses]
                if len(usable) > 8:
                    batch = self._random.choice(usable)
                    batch.uses += 1
                    self.again += 1
                    return batch
            dead = [process.exitcode for process in self._processes if not process.is_alive()]
            if dead:
                raise UserError(f"a data worker ended with exit code {dead[0]}; its message stands above")
            try:
                batch = self._queue.get(timeout=5)
                break
            except queue.Empty:
                continue
        batch.uses = 1
        self.fresh += 1
        self._recent.append(batch)
        return batch

    def close(self) -> None:
        """End the workers."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
