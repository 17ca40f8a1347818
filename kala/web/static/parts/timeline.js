// Runs along time: a shape where one started, a bar as long as it took (a piece for each attempt, a thin line where it
// waited), and a frame over occurrences that did not run. What would lie on another goes a lane further down.

import {
  ALL, badge, duration, fill, go, h, keyed, link, local, mark, ms, now, number, put, refill, s, shape, short, toneOf,
  wordOf,
} from "../base.js";
import { extent } from "./history.js";
import { times } from "./scale.js";

const LANE = 18;
const LANES = 8;
const SIZE = 11;
const EDGE = 16;
const CHARACTER = 6; // px, of the small figures after a bar

const bar = (look, left, right, middle, height) => s("rect", { class: look, x: left, y: middle - height / 2, width: Math.max(right - left, 0.5), height });

// {element, update(runs, since)}: runs as /run/ has them, in order; `since` in ms, null: from the oldest one on. What is
// open grows when `update` is called again. It answers {from, to}, what it shows.
export function timeline() {
  let runs = [];
  let span = null;
  let current = "";
  const axis = s("g");
  const marks = s("g");
  const svg = s("svg", { "aria-hidden": "true" }, axis, marks);
  const readout = h("p.chart-readout", { "aria-live": "polite" });
  const legend = h("ul.chart-legend");
  const box = h("div.timeline", { tabindex: 0, role: "application", "aria-label": "Runs along time", onkeydown: key,
    onpointerover: (event) => choose(event.target.closest("a")?.dataset.run ?? current) }, svg);
  new ResizeObserver(() => span && draw()).observe(box);

  function key(event) {
    const ids = runs.map((run) => run.id);
    const place = ids.indexOf(current);
    const to = { ArrowLeft: place < 1 ? place : place - 1, ArrowRight: Math.min(place + 1, ids.length - 1), Home: 0, End: -1 }[event.key];
    if (event.altKey || (to === undefined && event.key !== "Enter")) return;
    event.preventDefault();
    if (to !== undefined) choose(ids.at(to));
    else if (place >= 0) go(link("run", { id: current }));
  }

  function choose(id) {
    current = id;
    for (const one of marks.children) emphasize(one);
    tell();
  }

  const emphasize = (element) => element.classList.toggle("current", element.dataset.run === current);

  function tell() {
    const run = runs.find((one) => one.id === current);
    if (!run) return put(readout, "Point at a run, or press the arrow keys: why it is so. Enter opens it.");
    const [start, end] = extent(run);
    const took = run.count > 1 ? ` to ${local(end)}` : run.started ? `, ${duration((end - start) / 1000)}` : "";
    const often = run.attempts.length > 1 ? `, ${run.attempts.length} attempts` : "";
    const text = ` ${local(start)}${took}${often}: ${short(run.explanation, 400)}`;
    refill(readout, run.state + text, () => [badge(run.state), text]);
  }

  function draw() {
    const width = box.clientWidth;
    const { from, to } = span;
    const x = (at) => Math.round(10 * EDGE + (Math.max(at - from, 0) / (to - from)) * 10 * (width - 2 * EDGE)) / 10;
    const ends = []; // of the lanes
    keyed(marks, runs, (run) => run.id, (run) => s("a", { href: link("run", { id: run.id }), tabindex: -1, dataset: { run: run.id } }), (element, run) => {
      const [left, right] = extent(run).map(x);
      const text = run.count > 1 ? `×${number(run.count)}` : run.retries ? `+${run.retries}` : "";
      const end = Math.max(right, left + SIZE / 2) + 2;
      const y = laneFor(ends, left - SIZE / 2, end + text.length * CHARACTER) * LANE + LANE / 2 + 2;
      const tone = toneOf(run.state);
      const parts = run.until ? [[`range ${tone}`, left, right]]
        : run.attempts.map((one) => [`attempt ${toneOf(one.state)}`, x(ms(one.started)), x(ms(one.ended) ?? now())]);
      refill(element, JSON.stringify([run.state, left, right, y, text, parts]), () => [
        bar("hit", left - SIZE / 2 - 1, right + SIZE / 2 + 1, y, LANE - 2),
        bar(`wait ${tone}`, left, right, y, 1),
        parts.map((part) => bar(...part, y, 6)),
        shape(run.state, left, y, SIZE),
        s("text", { x: end, y: y + 3.5 }, text),
      ]);
      emphasize(element);
    });
    const height = ends.length * LANE + 4;
    svg.setAttribute("height", height + 18);
    fill(axis, times(from, to, width / 95).map(({ at, text }) => [
      s("path", { d: `M${x(at)} 0V${height}` }),
      s("text", { x: x(at), y: height + 13 }, text),
    ]));
  }

  function update(next, since) {
    runs = next;
    const spans = runs.map(extent);
    const from = since ?? Math.min(now() - 1000, ...spans.map(([start]) => start));
    span = { from, to: Math.max(since ? now() : from + 1000, ...spans.map(([, end]) => end)) };
    fill(legend, ALL.map((state) => {
      const count = runs.reduce((sum, run) => sum + (run.state === state && run.count), 0);
      return count > 0 && h("li", mark(state), `${number(count)} ${wordOf(state)}`);
    }));
    draw();
    tell();
    return span;
  }

  return { element: h("div", legend, box, readout), update };
}

// The first lane that is free from `left` on, where there is one; otherwise the one that is free soonest.
function laneFor(ends, left, right) {
  let lane = ends.findIndex((end) => end <= left);
  if (lane < 0) lane = ends.length < LANES ? ends.length : ends.indexOf(Math.min(...ends));
  ends[lane] = Math.max(right, ends[lane] ?? 0);
  return lane;
}
