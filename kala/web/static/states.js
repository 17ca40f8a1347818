// States of runs: a word, a colour and a shape each, so that none is told by colour alone.

import { h, s } from "./dom.js";
import { duration, local } from "./time.js";

// Word, tone (the colour's name in the style sheet), and a path in a box of 12 × 12.
const STATES = {
  waiting: ["waiting", "idle", "M6 1a5 5 0 1 0 0 10a5 5 0 0 0 0-10m0 1.6a3.4 3.4 0 1 1 0 6.8a3.4 3.4 0 0 1 0-6.8"],
  claimed: ["starting", "busy", "M6 1a5 5 0 1 0 0 10a5 5 0 0 0 0-10m0 2a3 3 0 1 1 0 6z"],
  running: ["running", "busy", "M2.5 1v10L11 6z"],
  succeeded: ["succeeded", "good", "M6 1a5 5 0 1 0 0 10a5 5 0 0 0 0-10"],
  failed: ["failed", "bad", "M1 2.8L2.8 1L6 4.2L9.2 1L11 2.8L7.8 6L11 9.2L9.2 11L6 7.8L2.8 11L1 9.2L4.2 6z"],
  timed_out: ["timed out", "bad", "M1.5 1h9L6.8 6l3.7 5h-9l3.7-5z"],
  cancelled: ["cancelled", "idle", "M1.5 1.5h9v9h-9z"],
  lost: ["lost", "bad", "M6 .5L11.5 6L6 11.5L.5 6z"],
  skipped: ["skipped", "idle", "M1 4.8h10v2.4H1z"],
  missed: ["missed", "warn", "M6 1l5.5 10H.5zm0 3.6L3.4 9.4h5.2z"],
};

export const OPEN = ["waiting", "claimed", "running"];
export const FAILING = ["failed", "timed_out", "lost", "missed"];
export const ALL = Object.keys(STATES);

const of = (state) => STATES[state] ?? [String(state), "idle", STATES.waiting[2]];

export const wordOf = (state) => of(state)[0];
export const toneOf = (state) => of(state)[1];

// The shape alone, for a place beside which the word stands.
export function mark(state) {
  return s("svg", { class: `mark ${toneOf(state)}`, viewBox: "0 0 12 12", "aria-hidden": "true" }, s("path", { d: of(state)[2] }));
}

// The shape within another SVG, its middle at (x, y), `size` wide.
export function shape(state, x, y, size) {
  const scale = size / 12;
  return s("path", { class: `shape ${toneOf(state)}`, d: of(state)[2], transform: `translate(${x - size / 2} ${y - size / 2}) scale(${scale})` });
}

// Shape and word.
export function badge(state) {
  return h("span", { class: `badge ${toneOf(state)}` }, mark(state), wordOf(state));
}

const STEP = 9;

// The last results of a job, oldest first: [{started, duration, state, retries}].
export function strip(results, most = 20) {
  const shown = results.slice(-most);
  if (!shown.length) return h("span.none", "no run yet");
  const said = [...Map.groupBy(shown, (one) => one.state)].map(([state, { length }]) => `${length} ${wordOf(state)}`).join(", ");
  const width = most * STEP;
  return s("svg.strip", { viewBox: `0 0 ${width} 12`, width, height: 12, role: "img", "aria-label": `Last ${shown.length} runs: ${said}` },
    shown.map((one, place) => {
      const part = shape(one.state, (most - shown.length + place) * STEP + STEP / 2, 6, STEP - 1);
      const retries = one.retries ? `, ${one.retries} retries` : "";
      part.append(s("title", `${local(one.started)}: ${wordOf(one.state)} after ${duration(one.duration)}${retries}`));
      return part;
    }));
}
