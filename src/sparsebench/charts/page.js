// Unpacks every packed script element in order: code is run, specs are drawn, the rest is put into its place.
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

// A drawing taller than a page would leave its heading alone on one and be cut anywhere. For the printer each is shown as
// slices: between its blocks, and where a block is taller than a page, between panels.
const PAGE = { width: 720, height: 900 }; // pixels that A4 and Letter both have, less a heading
const BLOCKS_APART = 24;
function freeBands(svg, unit) {
  const top = svg.getBoundingClientRect().top, taken = [];
  for (const node of svg.querySelectorAll("path, line, rect, text, image")) {
    const box = node.getBoundingClientRect(), style = getComputedStyle(node);
    const invisible = style.fill === "none" && style.stroke === "none" || style.opacity === "0";
    const from = (box.top - top) * unit, to = (box.bottom - top) * unit;
    // What spans the whole drawing is its background.
    if (!invisible && to - from < svg.viewBox.baseVal.height * 0.98) taken.push([from, to]);
  }
  const free = [];
  let end = Infinity;
  for (const [from, to] of taken.sort((a, b) => a[0] - b[0])) {
    if (from > end) free.push({ from: end, to: from, size: from - end });
    end = end === Infinity ? to : Math.max(end, to);
  }
  return free;
}
function slicesOf(svg) {
  const { width, height } = svg.viewBox.baseVal, bands = freeBands(svg, height / svg.getBoundingClientRect().height);
  const tallest = PAGE.height * Math.max(1, width / PAGE.width), slices = [];
  const blocks = bands.filter((band) => band.size >= BLOCKS_APART);
  let start = 0;
  while (start < height) {
    const inReach = (some) => some.filter((band) => band.from > start + 40 && band.to <= start + tallest);
    let next = inReach(blocks)[0];
    if (!next && height - start > tallest) next = inReach(bands).filter((b) => b.from > start + tallest / 3).sort((a, b) => b.size - a.size)[0];
    const end = next ? (next.from + next.to) / 2 : Math.min(height, start + tallest);
    slices.push([start, end - start]);
    start = end;
  }
  return slices;
}
addEventListener("beforeprint", () => {
  document.querySelectorAll(".chart svg.marks").forEach((svg, place) => {
    const whole = svg.querySelector(":scope > g"), { width } = svg.viewBox.baseVal;
    whole.id = `drawing-${place}`;
    const slices = slicesOf(svg).map(([top, height]) =>
      `<svg viewBox="0 ${top} ${width} ${height}" width="${width}" height="${height}"><use href='#${whole.id}'/></svg>`);
    svg.insertAdjacentHTML("afterend", `<div class="slices">${slices.join("")}</div>`);
  });
  document.body.classList.add("sliced");
});
addEventListener("afterprint", () => {
  document.querySelectorAll(".slices").forEach((slices) => slices.remove());
  document.body.classList.remove("sliced");
});
