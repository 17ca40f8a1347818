// States of runs: a word, a colour and a shape each, so that none is told by colour alone.

import { h, s } from "./dom.js";
import { duration, local } from "./time.js";

// Paths in a box of 12 × 12. `tone` is the colour's name in the style sheet.
const STATES = {
  waiting: { word: "waiting", tone: "idle", path: "M6 1a5 5 0 1 0 0 10a5 5 0 0 0 0-10m0 1.6a3.4 3.4 0 1 1 0 6.8a3.4 3.4 0 0 1 0-6.8" },
  claimed: { word: "starting", tone: "busy", path: "M6 1a5 5 0 1 0 0 10a5 5 0 0 0 0-10m0 2a3 3 0 1 1 0 6z" },
  running: { word: "running", tone: "busy", path: "M2.5 1v10L11 6z" },
  succeeded: { word: "succeeded", tone: "good", path: "M6 1a5 5 0 1 0 0 10a5 5 0 0 0 0-10" },
  failed: { word: "failed", tone: "bad", path: "M1 2.8L2.8 1L6 4.2L9.2 1L11 2.8L7.8 6L11 9.2L9.2 11L6 7.8L2.8 11L1 9.2L4.2 6z" },
  timed_out: { word: "timed out", tone: "bad", path: "M1.5 1h9L6.8 6l3.7 5h-9l3.7-5z" },
  cancelled: { word: "cancelled", tone: "idle", path: "M1.5 1.5h9v9h-9z" },
  lost: { word: "lost", tone: "bad", path: "M6 .5L11.5 6L6 11.5L.5 6z" },
  skipped: { word: "skipped", tone: "idle", path: "M1 4.8h10v2.4H1z" },
  missed: { word: "missed", tone: "warn", path: "M6 1l5.5 10H.5zm0 3.6L3.4 9.4h5.2z" },
};

export const OPEN = ["waiting", "claimed", "running"];
export const FAILING = ["failed", "timed_out", "lost", "missed"];
export const ALL = Object.keys(STATES);

const of = (state) => STATES[state] ?? { word: String(state), tone: "idle", path: STATES.waiting.path };

export const wordOf = (state) => of(state).word;
export const toneOf = (state) => of(state).tone;

// The shape alone, for a place beside which the word stands.
export function mark(state) {
  return s("svg", { class: `mark ${toneOf(state)}`, viewBox: "0 0 12 12", "aria-hidden": "true" }, s("path", { d: of(state).path }));
}

// The shape within another SVG, its middle at (x, y), `size` wide.
export function shape(state, x, y, size) {
  const scale = size / 12;
  return s("path", { class: `shape ${toneOf(state)}`, d: of(state).path, transform: `translate(${x - size / 2} ${y - size / 2}) scale(${scale})` });
}

// Shape and word.
export function badge(state) {
  return h("span", { class: `badge ${toneOf(state)}` }, mark(state), wordOf(state));
}

const STEP = 9;

// The last results of a job, oldest first: [{started, duration, state, retries}].
export function strip(results, most = 20) {
  const shown = results.slice(-most);
  if (!shown.length) return h("span", { class: "none" }, "no run yet");
  const counts = new Map();
  for (const one of shown) counts.set(one.state, (counts.get(one.state) ?? 0) + 1);
  const said = [...counts].map(([state, count]) => `${count} ${wordOf(state)}`).join(", ");
  const width = most * STEP;
  return s("svg", { class: "strip", viewBox: `0 0 ${width} 12`, width, height: 12, role: "img", "aria-label": `Last ${shown.length} runs: ${said}` },
    shown.map((one, place) => {
      const part = shape(one.state, (most - shown.length + place) * STEP + STEP / 2, 6, STEP - 1);
      const retries = one.retries ? `, ${one.retries} retries` : "";
      part.append(s("title", {}, `${local(one.started)}: ${wordOf(one.state)} after ${duration(one.duration)}${retries}`));
      return part;
    }));
}
