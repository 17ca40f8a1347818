// The overview for a screen that nobody touches: all of it at a glance, and it comes back by itself from everything.

import { every, fill, growing, h, link, mark, now, put, refill, short, state, toneOf } from "../base.js";
import { duePanel, failuresPanel, follow, ratesPanel, runningPanel, totals } from "../parts/panels.js";

const ROWS = 12; // those that have no room are not seen
const POINTED = 3000; // ms for which the way back is seen
const COUNTERS = [["running", "running"], ["waiting", "waiting"], ["failed in the last hour", "failed"], ["jobs", "jobs"]];

export function open(root, params, signal) {
  const lists = [runningPanel(ROWS), duePanel(), failuresPanel(ROWS)];
  const rates = ratesPanel();
  const sign = h("p.sign", { role: "status" });
  const clock = h("p.clock");
  const name = h("h1", "Kala");
  const counters = totals(COUNTERS, draw);
  fill(root,
    h("a.button.back", { href: link("overview") }, "Back to the overview"),
    h("div.top", sign, name, counters.element, clock),
    h("div.columns", lists.map((one) => one.element)),
    rates.element);

  let version;
  function draw() {
    const [shape, text, since, why = ""] = standing();
    sign.className = `sign ${toneOf(shape)}`;
    refill(sign, shape + since + why, () => [mark(shape), h("span", text, since && [" for ", growing(since)]), h("small", short(why))]);
    if (!state.node) return;
    put(name, `Kala on ${state.node.node || state.node.host}`);
    // another version of the daemon has another page
    version ??= state.node.version;
    if (state.node.version !== version) location.reload();
  }

  const tick = () => put(clock, new Date(now()).toTimeString().slice(0, 5));
  tick();
  every(1000, tick, signal);
  let hiding;
  root.addEventListener("pointermove", () => {
    root.classList.add("pointed");
    clearTimeout(hiding);
    hiding = setTimeout(() => root.classList.remove("pointed"), POINTED);
  });
  follow([...lists, rates, counters], signal);
}

// How it stands: [a state with its shape, words, since when, why].
function standing() {
  const { connection, lost, node } = state;
  if (connection === "lost") return ["lost", "Not live", lost];
  if (connection === "connecting") return ["waiting", "Connecting"];
  const since = node?.database.away_since;
  if (node?.not_ready) return [since ? "failed" : "missed", since ? "Database away" : "Not ready", since, node.not_ready];
  return node?.paused ? ["cancelled", "Paused", null, "nothing starts"] : ["succeeded", "Live"];
}
