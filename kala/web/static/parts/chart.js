// A chart of what happened when: stacked bars, lines, or dots. It is drawn with a path for each series, so that drawing it
// anew a few times a second costs nothing; what is under the pointer, or at the keyboard's place, is read out below it.
//
//   chart({label, kind: "bars"|"lines"|"dots", y: {format, seconds, log}, x: {from, to}, empty})
//     → {element, update(series, {x}?)};  series: [{name, tone, points: [{x: ms, y: number|null, text?, href?}]}]
//
// `y` without a format are counts; `seconds`: durations, with marks as on clocks; `log`: a scale of powers of ten, from
// that value. `x` null: as far as the points go. A bar's `x` is its beginning; bars have points at the same, even distances.
// `text` is read out in place of time and value; `empty` stands there when there is nothing.

import { duration, fill, go, h, keyed, local, number, put, s } from "../base.js";
import { marks, powers, times } from "./scale.js";

const HEIGHT = 110; // px
const TOP = 8;
const FOOT = 20; // px, for the times
const EDGE = 6; // px, so that a dot at the end is whole
const LETTER = 6.6; // px, about
const HALF = 26; // px, of a time's text
const TEXT = 14; // px, of the page's text
const NEAR = 24; // px, from the pointer to a dot
// each tone has a shape of its own
const DOTS = {
  good: "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0", bad: "m-3-3l6 6m0-6l-6 6", warn: "m0-3.5l3.5 6h-7z",
  busy: "m-2.5-3.5v7l6-3.5z", idle: "m-2.5-2.5h5v5h-5z",
};
const nameOf = (one) => one.name;

export function chart({ label, kind, y: { format, seconds, log } = {}, x: span = null, empty = "Nothing yet." }) {
  const [isBars, isDots] = [kind === "bars", kind === "dots"];
  const valueText = format ?? (seconds ? duration : number);
  let series = [];
  let items = []; // what can be chosen, from left to right: lists of the points of a moment
  let chosen;
  let [width, zoom] = [0, 1]; // of the drawing; it is as much larger as the text around it
  let [px, py, step, foot] = []; // where a moment and a value are; ms of a bar; where the axis is

  const grid = s("path.grid");
  const labels = s("g", { "text-anchor": "middle" });
  const drawn = s("g");
  const cursor = s("path.cursor");
  const clear = () => choose();
  const svg = s("svg.chart-plot", { "aria-hidden": "true", onpointermove: point, onpointerdown: point, onpointerleave: clear, onclick: follow },
    grid, drawn, cursor, labels);
  svg.style.height = `${HEIGHT / TEXT}em`;
  const legend = h("ul.chart-legend");
  const readout = h("p.chart-readout", { "aria-live": "polite" });
  const element = h("div", { class: `chart chart-${kind}`, tabindex: 0, role: "application", onkeydown: key, onblur: clear },
    svg, legend, readout);
  new ResizeObserver(([{ contentRect: room }]) => {
    zoom = room.height / HEIGHT;
    width = Math.floor(room.width / zoom) || 0; // there is no room when it is hidden, or left
    draw();
  }).observe(svg);

  function update(given, { x = span } = {}) {
    [series, span] = [given, x];
    // the legend tells the series apart and what they come to, and is what the chart's name says
    keyed(legend, series, nameOf, entry, (item, one) => put(item.lastChild, `${one.name} ${sumOf(one)}`));
    draw();
    const said = [...legend.children].map((item) => item.textContent).join(", ");
    element.ariaLabel = `${label}, ${kind.slice(0, -1)} chart: ${legend.hidden ? empty : said + "."} Arrows move along it.`;
  }

  const entry = (one) => h("li", s("svg", { width: 22, height: 12, "aria-hidden": "true" },
    paint(one, { bars: "M4 1h14v10h-14z", lines: "M0 6h22", dots: `M11 6${DOTS[one.tone]}` }[kind])), h("span"));

  const paint = (one, d) => s("path", { class: `series ${one.tone}`, d });

  function sumOf({ points }) {
    const values = points.map((one) => one.y).filter((value) => value !== null);
    if (isDots) return number(values.length);
    return valueText(isBars ? values.reduce((sum, value) => sum + value, 0) : values.at(-1));
  }

  const within = (one) => one && one.y !== null && (!span || (one.x >= span.from && one.x <= span.to));

  function draw() {
    const parts = series.flatMap((of) => of.points.map((one, place, all) => ({ ...one, of, joins: within(all[place - 1]) })).filter(within));
    items = [...Map.groupBy(parts, (one) => one.x).values()].sort(([a], [b]) => a.x - b.x);
    let most = 0;
    for (const item of items) {
      let sum = 0;
      for (const one of item) {
        one.base = sum;
        if (isBars) sum += one.y;
        most = Math.max(most, sum, one.y);
      }
    }
    const isEmpty = isBars ? !most : !items.length;
    svg.toggleAttribute("hidden", isEmpty);
    legend.hidden = isEmpty;
    if (isEmpty) items = [];
    else if (width) {
      axes(most);
      keyed(drawn, series, nameOf, (one) => paint(one), (path, one) => {
        path.setAttribute("d", parts.filter((part) => part.of === one).map({ bars: bar, lines: line, dots: dot }[kind]).join(""));
      });
    }
    choose(items.find(([one]) => one.x === chosen?.[0].x));
  }

  function axes(most) {
    const [first, last] = [items[0][0].x, items.at(-1)[0].x];
    step = items.length > 1 ? items[1][0].x - first : 60_000;
    const { from, to } = span ?? { from: first, to: last + (isBars ? step : 1) };
    const ticks = log ? powers(log, most) : marks(most, 2, { seconds, whole: !format && !seconds });
    const texts = ticks.map((value) => (seconds ? duration(value).replace(/ 00? [smh]$|\.0/, "") : valueText(value)));
    const left = Math.ceil(Math.max(...texts.map((text) => text.length)) * LETTER) + 8;
    const rise = (value) => (log ? Math.log(Math.max(value, log) / ticks[0]) / Math.log(ticks.at(-1) / ticks[0]) : value / ticks.at(-1));
    px = (at) => tenth(left + EDGE + ((at - from) / (to - from)) * (width - left - EDGE * 2));
    py = (value) => tenth(HEIGHT - FOOT - (HEIGHT - TOP - FOOT) * rise(value));
    foot = py(ticks[0]);
    const columns = times(from, to, (width - left) / 80).filter(({ at }) => px(at) < width - HALF);
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    grid.setAttribute("d", ticks.map((value) => `M${left} ${Math.round(py(value)) + 0.5}H${width}`).join("") + columns.map(({ at }) => `M${px(at)} ${foot}v4`).join(""));
    fill(labels,
      ticks.map((value, place) => s("text", { x: left - 5, y: py(value) + 4, "text-anchor": "end" }, texts[place])),
      columns.map(({ at, text }) => s("text", { x: px(at), y: HEIGHT - 3 }, text)));
  }

  const tenth = (value) => Math.round(value * 10) / 10;
  const place = (one) => `${px(one.x)} ${py(one.y)}`;
  const dot = (one) => `M${place(one)}${DOTS[one.of.tone]}`;
  // what has no neighbour is seen as well
  const line = (one) => (one.joins ? `L${place(one)}` : `M${place(one)}m-2 0h2`);

  // What is there is seen: at least a pixel wide and high.
  function bar({ x, y, base }) {
    const [start, low] = [px(x), py(base)];
    return y ? `M${start} ${low}H${Math.max(px(x + step) - 1, start + 1)}V${Math.min(py(base + y), low - 1)}H${start}z` : "";
  }

  const middle = ([one]) => px(one.x + (isBars ? step / 2 : 0));

  function choose(item) {
    chosen = item;
    const at = isDots ? "m-7 0a7 7 0 1 0 14 0a7 7 0 1 0-14 0" : `V${foot}`;
    cursor.setAttribute("d", item && width ? `M${middle(item)} ${isDots ? py(item[0].y) : TOP}${at}` : "");
    svg.style.cursor = target() ? "pointer" : "";
    put(readout, item ? textOf(item) : legend.hidden ? empty : "");
  }

  function textOf(item) {
    const own = item.map((one) => one.text).filter(Boolean);
    return own.join("; ") || `${local(item[0].x)}: ` + item.map((one) => `${one.of.name} ${valueText(one.y)}`).join(", ");
  }

  const target = () => chosen?.find((one) => one.href)?.href;

  function follow() {
    if (target()) go(target());
  }

  function point({ clientX, clientY }) {
    const { left, top } = svg.getBoundingClientRect();
    const far = (item) => Math.hypot(middle(item) - (clientX - left) / zoom, isDots ? py(item[0].y) - (clientY - top) / zoom : 0);
    const [nearest] = items.toSorted((a, b) => far(a) - far(b));
    choose(isDots && far(nearest) > NEAR ? undefined : nearest);
  }

  function key(event) {
    if (event.key === "Enter") follow();
    if (event.key === "Escape") clear();
    const here = items.indexOf(chosen);
    const next = { ArrowLeft: Math.max(here - 1, 0), ArrowRight: here + 1, Home: 0, End: items.length - 1 }[event.key];
    if (next === undefined || event.altKey || event.metaKey) return;
    event.preventDefault();
    choose(items[Math.min(next, items.length - 1)]);
  }

  return { element, update };
}
