"""What a page carries compressed: the drawing library, charts, tables.

Snakemake's report shows a page as a data URI, and Chromium leaves one above 2 MiB blank. Compressed, the library takes
0.4 MiB of 0.9, and tables a tenth.
"""

from __future__ import annotations

import base64
import gzip
import json
from functools import cache
from typing import Any

import altair
from markupsafe import Markup

# Unpacks every packed script element in order: code is run, specs are drawn, the rest is put into its place.
UNPACK = """
async function unpacked(element) {
  const bytes = Uint8Array.from(atob(element.textContent), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}
async function unpackPage() {
  const actions = { export: true, source: false, compiled: false, editor: false };
  for (const element of document.querySelectorAll('script[type="application/gzip"]')) {
    const { kind, place } = element.dataset;
    const text = await unpacked(element);
    const target = place && document.getElementById(place);
    if (kind === "code") (0, eval)(text);
    else if (kind === "chart") await vegaEmbed(target, JSON.parse(text), { renderer: "svg", actions });
    else target.innerHTML = text;
  }
  document.body.dataset.ready = "yes";
}
"""


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
def library() -> Markup:
    """Vega, Vega-Lite and Vega-Embed, of the Vega-Lite version that charts are written in, and the unpacking code."""
    import vl_convert

    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=vegalite_version())
    return Markup("<script>{}</script>\n{}").format(Markup(UNPACK), packed("code", bundle))


def vegalite_version() -> str:
    """The Vega-Lite version that charts are written in, as vl-convert names it: ``6.1``."""
    return ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
