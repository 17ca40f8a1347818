// Runs in figures, over time: how many succeeded, how long they took, how late they began, and what they needed.

import { duration, h, link, ms, number, put, toneOf } from "../base.js";
import { chart } from "./chart.js";
import { isOpen } from "./history.js";

const SLICES = 30;
const TONES = { good: "succeeded", bad: "failed", idle: "cancelled" };
const SECONDS = { seconds: true };
const MEASURES = [
  ["Success", {}],
  ["Duration", SECONDS, (run) => run.duration],
  ["Lateness", SECONDS, (run) => run.lateness],
  ["Processor time", SECONDS, (run) => run.attempts.reduce((sum, one) => sum + one.cpu, 0)],
  ["Memory at its peak", { format: (value) => `${Math.round(value)} MiB` }, (run) => Math.max(...run.attempts.map((one) => one.memory)) / 1_048_576],
];

// {element, update(runs, x)}: `x` is {from, to} in ms. It says whether there is anything to be seen.
export function measures() {
  const cells = MEASURES.map(([label, y, of]) => {
    const sum = h("small");
    const drawn = chart({ label, y, kind: of ? "dots" : "bars" });
    return { element: h("div", h("h3", label, " ", sum), drawn.element), sum, drawn, of, show: y.format ?? duration };
  });

  function update(runs, x) {
    const ended = runs.filter((run) => run.started && !isOpen(run));
    for (const { element, sum, drawn, of, show } of cells) {
      // of what a call needs nothing is known, and of memory nothing below the daemon's own
      const known = of ? ended.filter(of) : ended;
      element.hidden = !known.length;
      put(sum, of ? spread(known.map(of), show) : rate(known));
      const found = Map.groupBy(known, (run) => toneOf(run.state));
      drawn.update([...found].map(([tone, some]) => ({ tone, name: TONES[tone], points: of ? dots(some, of) : slices(some, x) })), { x });
    }
    return ended.length > 0;
  }

  return { element: h("div.grid", cells.map((cell) => cell.element)), update };
}

// Nothing but all is 100 %.
function rate(runs) {
  const good = runs.filter((run) => run.state === "succeeded").length;
  return `${Math.floor((1000 * good) / runs.length) / 10} %, ${number(good)} of ${number(runs.length)}`;
}

function spread(values, show) {
  values.sort((a, b) => a - b);
  const within = (part) => show(values[Math.ceil(values.length * part) - 1]);
  return `median ${within(0.5)}, 95 % within ${within(0.95)}`;
}

const dots = (runs, of) => runs.map((run) => ({ x: ms(run.started), y: of(run), href: link("run", { id: run.id }) }));

function slices(runs, { from, to }) {
  const wide = (to - from + 1) / SLICES;
  const found = Map.groupBy(runs, (run) => Math.floor((ms(run.started) - from) / wide));
  return Array.from({ length: SLICES }, (_, place) => ({ x: from + place * wide, y: found.get(place)?.length ?? 0 }));
}
