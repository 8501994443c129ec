"""What a page carries compressed: the drawing library, charts, tables.

Snakemake's report shows a page as a data URI, and Chromium leaves one above 2 MiB blank. Compressed, the library takes
0.4 MiB of 0.9, and tables a tenth.
"""

from __future__ import annotations

import base64
import gzip
import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import altair
from markupsafe import Markup


def packed(kind: str, content: str, place: str = "") -> Markup:
    """A script element that holds ``content`` compressed; ``kind`` is ``code``, ``chart`` or ``table``.

    ``place`` is the id of the element that the chart or table goes into.
    """
    data = base64.b64encode(gzip.compress(content.encode(), 9, mtime=0)).decode()
    return Markup('<script type="application/gzip" data-kind="{}" data-place="{}">{}</script>').format(
        kind, place, data
    )


def packed_chart(spec: dict[str, Any], place: str) -> Markup:
    """A Vega-Lite spec, to be drawn into the element with id ``place``."""
    return packed("chart", json.dumps(spec, separators=(",", ":")), place)


@cache
def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed, of the version that charts are written in: seconds of work, the same for all."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=vegalite_version()))


def library(made: Path | None = None) -> Markup:
    """The drawing library, from the file ``made`` with what :func:`bundle` gave, and the code of pages with charts."""
    code = bundle() if made is None else made.read_text(encoding="utf-8")
    script = files(__package__).joinpath("page.js").read_text(encoding="utf-8")
    return Markup("<script>\n{}</script>\n{}").format(Markup(script), packed("code", code))


def vegalite_version() -> str:
    """The Vega-Lite version that charts are written in, as vl-convert names it: ``6.1``."""
    return ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
