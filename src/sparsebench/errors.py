"""Mistakes that a user can mend, told without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in what the user gave; the CLI prints the message alone and exits with 1.

    The message names what was given, what is allowed and where to mend it.
    """


def unknown(kind: str, given: str, allowed: Iterable[str], where: str = "") -> UserError:
    """Error for a name that is not in a closed list, with the nearest allowed name.

    Parameters
    ----------
    kind
        What the name stands for, e.g. ``"task"``.
    given, allowed
        The name that was given; the names that exist.
    where
        Where to mend it, e.g. ``"config/config.yaml: tasks"``.
    """
    names = sorted(allowed)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    place = f"{where}: " if where else ""
    return UserError(f"{place}unknown {kind} {given!r}{hint} (allowed: {', '.join(names)})")
