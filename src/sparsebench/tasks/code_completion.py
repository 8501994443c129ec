"""Completes a call to a function that is defined far above, checked by running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, permutations
from random import Random
from typing import Any

from sparsebench.tasks import sandbox
from sparsebench.tasks.base import Sample, Score, Task
from sparsebench.tasks.draw import Draw
from sparsebench.tasks.haystack import hide
from sparsebench.tasks.window import Window
from sparsebench.tasks.words import words

_PARAMETERS = 3
_COMMENTS = ("# end\n", "# reviewed\n", "# no change\n")
_HARMLESS = (ast.Constant, ast.UnaryOp, ast.UAdd, ast.USub, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Load)


@dataclass(frozen=True)
class CodeCompletion(Task):
    """Write the arguments of a call, whose keyword-only parameters are named in one definition far above.

    - Source: this project; repository-level completion after RepoBench (arXiv:2306.03091), code generated.
    - Metric: 1 if the completed call runs and returns what the right call returns, else 0.
    - Chance: 0; parameter names are pairs of random words.
    - Isolates: exact retrieval by identifier in source code, and its use in valid syntax.
    - Length: files and functions grow in number; each function has names of its own.

    Parameters
    ----------
    answer_prefix
        First words of the answer, given to the model; ``{function}`` is filled in.
    """

    name = "code_completion"
    metric = "runs_right"
    minimum_tok = 1024
    source = "this project, after arXiv:2306.03091"

    answer_prefix: str = "result = {function}("

    def synthesise(self, draw: Draw, window: Window) -> Sample:
        """See :class:`Task`."""
        code = _Code(draw)
        definition, function, parameters, weights = code.function()
        values = draw.sample(range(2, 60), _PARAMETERS)
        # Right values in a wrong order must not give the right result.
        while len({_result(weights, order) for order in permutations(values)}) < 6:
            values = draw.sample(range(2, 60), _PARAMETERS)
        head = "A Python repository follows, then the last line of a program that uses it, to be completed.\n\n"
        listed = f"{values[0]}, {values[1]} and {values[2]}"
        tail = (
            f"\n\n# file: main.py\n# Pass {listed} to the parameters of {function}, in the order defined.\n"
            f"result = {function}(\n\n"
            "Complete the last line: write the arguments by keyword, and the closing bracket."
        )
        prefix = self.answer_prefix.replace("{function}", function)
        user, places = hide(
            self.name, window, head, tail, prefix, code.files(), [f"{definition}\n\n"], draw.depths(1), cycle(_COMMENTS)
        )
        perfect = ", ".join(f"{name}={value}" for name, value in zip(parameters, values, strict=True)) + ")"
        return Sample(
            user=user,
            answer_prefix=prefix,
            answers=(perfect,),
            evidence=places,
            max_new_tok=window.count(perfect) + 10,
            perfect=perfect,
            stop=(")",),
            meta={"definition": definition, "function": function, "result": _result(weights, values)},
        )

    def score(self, prediction: str, answers: Sequence[str], meta: Mapping[str, Any]) -> Score:
        """Run the call with the text up to its closing bracket as arguments.

        Relaxed: a code fence or the beginning of the line written again is passed over, the closing bracket may be
        missing. Arguments other than numbers and arithmetic on them are not run, and count as not parsed.
        """
        call = _call(meta["function"], prediction)
        if call is None:
            return Score(0.0, parse_failed=True)
        printed = sandbox.run(f"{meta['definition']}\n\nprint({call})")
        return Score(float(printed is not None and printed.strip() == str(meta["result"])))

    def guess(self, draw: Random, sample: Sample) -> str:
        """A call with other parameters and values."""
        _, _, parameters, _ = _Code(draw).function()
        return ", ".join(f"{name}={draw.randrange(2, 60)}" for name in parameters) + ")"


class _Code:
    def __init__(self, draw: Random) -> None:
        self._draw = draw
        self._seen: set[str] = set()

    def _name(self, *lists: str) -> str:
        while True:
            name = "_".join(self._draw.choice(words(of)) for of in lists)
            if name not in self._seen:
                self._seen.add(name)
                return name

    def function(self) -> tuple[str, str, list[str], list[int]]:
        """Source, name, parameters and their weights of a new function."""
        name = self._name("verbs", "nouns", "nouns")
        parameters = [self._name("adjectives", "nouns") for _ in range(_PARAMETERS)]
        weights = self._draw.sample(range(2, 30), _PARAMETERS)
        a, b, c = parameters
        how, whom = self._draw.choice(words("adverbs")).capitalize(), self._draw.choice(words("people"))
        source = (
            f"def {name}(*, {a}, {b}, {c}):\n"
            f'    """{how} add up for the {whom}."""\n'
            f"    total = {a} * {weights[0]} + {b} * {weights[1]}\n"
            f"    return total + {c} * {weights[2]}\n"
        )
        return source, name, parameters, weights

    def files(self) -> Iterator[str]:
        """Endless functions, eight to a file."""
        while True:
            path = f"{self._draw.choice(words('places'))}/{self._name('nouns', 'people')}.py"
            for i in range(8):
                source, *_ = self.function()
                yield (f"# file: {path}\n" if i == 0 else "") + f"{source}\n\n"


def _result(weights: Sequence[int], values: Sequence[int]) -> int:
    return sum(weight * value for weight, value in zip(weights, values, strict=True))


def _call(function: str, prediction: str) -> str | None:
    """The call as source if its arguments are harmless, else None."""
    text = prediction.strip().removeprefix("```python").removeprefix("```").lstrip()
    for start in (f"result = {function}(", f"{function}("):
        text = text.removeprefix(start)
    call = f"{function}({text.partition(')')[0].strip()})"
    try:
        node = ast.parse(call, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not isinstance(node, ast.Call) or not (node.args or node.keywords):
        return None
    given = [*node.args, *(keyword.value for keyword in node.keywords)]
    if any(keyword.arg is None for keyword in node.keywords):
        return None
    if not all(isinstance(part, _HARMLESS) for value in given for part in ast.walk(value)):
        return None
    return ast.unparse(node)
