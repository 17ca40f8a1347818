// Everything that the daemon does, as it happens.

import { act, at, button, fill, growing, h, link, number, put, refill, state } from "../base.js";
import { firstJob } from "../parts/jobacts.js";
import { duePanel, failuresPanel, follow, latenessPanel, ratesPanel, runningPanel, totals } from "../parts/panels.js";
import { pause, resume } from "../parts/pausing.js";

const COUNTERS = [
  ["Running", "running", { state: "running" }],
  ["Waiting", "waiting"],
  ["Jobs", "jobs", {}],
  ["Active", "active_jobs", { state: "active" }],
  ["Disabled", "disabled_jobs", { state: "disabled" }],
  ["Succeeded", "success_count"],
  ["Failed attempts", "error_count"],
];

export function open(root, params, signal) {
  const panels = [runningPanel(30, true), duePanel(), ratesPanel(), latenessPanel(), failuresPanel(12)];
  const pausing = button("Pause", () => act(pausing, pausing.textContent, state.node?.paused ? resume : pause));
  const empty = h("section.empty", h("h2", "No job yet"), firstJob());
  const facts = h("dl.facts");
  const counters = totals(COUNTERS, draw);
  fill(root,
    h("div.bar", h("h1", "Overview"), pausing, h("a.button", { href: link("wall") }, "Wall")),
    counters.element,
    empty,
    h("div.grid", panels.map((one) => one.element), h("section.panel", h("h2", "Database and daemons"), facts)));

  function draw({ jobs, running }) {
    const { node } = state;
    put(pausing, node?.paused ? "Resume" : "Pause");
    empty.hidden = jobs !== 0;
    for (const one of panels) one.element.hidden = !empty.hidden && !running;
    refill(facts, JSON.stringify(node?.nodes), () => node && factsOf(node).map(([name, ...value]) => [h("dt", name), h("dd", value)]));
  }

  follow([...panels, counters], signal);
}

const whereOf = ({ node, host, pid }) => (node && node !== host ? `${node}, ` : "") + `${host}, process ${pid}`;

function factsOf({ database: { engine, place }, nodes, version, started, max_runs, ...node }) {
  return [
    ["Database", engine, " ", place !== engine && h("span.mono", place)],
    ["This daemon", whereOf(node), ", version ", version],
    ["Started", at(started), ", up for ", growing(started)],
    ["Runs", `at most ${number(max_runs)} at a time`],
    ...nodes.filter((one) => one.alive && !one.self).map((one) => ["Other daemon", whereOf(one), ", since ", at(one.started)]),
  ];
}
