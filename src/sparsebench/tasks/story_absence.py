"""Chapters of a long story that do not speak of a purchase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sparsebench.tasks.story_filtering import StoryFiltering


@dataclass(frozen=True)
class StoryAbsence(StoryFiltering):
    """List the chapters without a purchase; nothing in them says so.

    - Source: the study (arXiv:2504.17768), story filtering; story, templates and words are this project's.
    - Metric: intersection over union of the listed and the true chapters.
    - Chance: that of random chapters, as many as are asked for: about 0.3 at 1K, falling as 1 / length.
    - Isolates: going through the whole context and noticing what is absent.
    - Length: chapters grow in number; those without a purchase stay as many.
    - Departures: those of :mod:`sparsebench.tasks.story`.

    Parameters are those of :class:`StoryFiltering`.
    """

    name = "story_absence"
    looks: ClassVar[bool] = False
