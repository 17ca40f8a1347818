// A row of the list of jobs. It is brought up to date in place, and only where something is another, so that what is focused
// stays so. A job is its brief, and `gone` once it is deleted.

import { badge, button, countdown, fill, growing, h, link, number, put, short, strip } from "../base.js";

const filter = ({ does }, name, value) => button(short(value, 60), () => does.filter(name, value), "label line");

// The cells by their classes: the members that each is made of, and what it has then: draw(job, row, cell).
const CELLS = {
  name: [["name", "labels"], ({ id, name, labels }, row) => [
    h("a.title", { href: link("job", { id }), title: name }, short(name, 100)),
    h("div", Object.entries(labels ?? {}).map(([label, value]) => filter(row, "label", value ? `${label}=${value}` : label))),
  ]],
  owner: [["owner"], ({ owner }, row) => owner && filter(row, "owner", owner)],
  when: [["words", "schedule", "time_zone"], ({ words, schedule, time_zone: zone }, row, cell) => {
    cell.title = `${schedule} ${zone}`;
    return short(words, 160);
  }],
  last: [["results"], ({ results }) => strip(results)],
  now: [["open", "disabled", "is_done", "gone"], standing],
  next: [["next_run_at", "gone"], ({ next_run_at: next, gone }) => countdown(gone ? null : next)],
  does: [["name", "disabled", "gone"], controls],
};

// `does`: {pick(event, id), act(id, button), filter(name, value)}. `row.parts` are the controls by name.
export function makeRow({ id }, does) {
  const act = () => button("", (event) => does.act(id, event.currentTarget), "plain");
  const pick = h("input", { type: "checkbox", onclick: (event) => does.pick(event, id) });
  const parts = { start: act(), able: act(), edit: h("a", { href: link("edit", { id }) }), remove: act(), pick };
  const cells = Object.keys(CELLS).map((name) => h("td", { class: name, role: name === "name" && "rowheader" }));
  cells.at(-1).append(parts.start, parts.able, parts.edit, parts.remove);
  const row = h("tr", h("td", pick), cells);
  return Object.assign(row, { does, parts, drawn: [] });
}

export function updateRow(row, job, isPicked) {
  row.parts.pick.checked = isPicked;
  Object.values(CELLS).forEach(([members, draw], place) => {
    const sign = JSON.stringify(members.map((name) => job[name]));
    if (row.drawn[place] === sign) return;
    row.drawn[place] = sign;
    const cell = row.cells[place + 1];
    const content = draw(job, row, cell);
    if (content !== undefined) fill(cell, content);
  });
}

// They stay the same ones: who has pressed one is still there.
function controls({ name, disabled, gone }, { parts }) {
  const verbs = { start: "Start", able: disabled ? "Enable" : "Disable", edit: "Edit", remove: "Delete", pick: "Select" };
  for (const [part, verb] of Object.entries(verbs)) {
    const control = parts[part];
    if (part !== "pick") put(control, verb);
    control.ariaLabel = `${verb} ${short(name, 80)}`;
    control.disabled = gone || (part === "start" && disabled);
  }
}

// What is so now, in words.
function standing({ id, open, disabled, is_done: isDone, gone }) {
  if (gone) return h("strong.bad", "deleted");
  const [run, ...others] = open;
  const word = disabled ? "disabled" : isDone ? "done" : !run && "active";
  return [
    run && h("a", { href: link("run", { id: run.id }) }, badge(run.state), run.started && growing(run.started)),
    others.length > 0 && h("a", { href: link("job", { id }) }, `${number(others.length)} more`),
    word && h("span", { class: disabled ? "label" : "soft" }, word),
  ];
}

// The brief as an event leaves it, until it is read again.
export function afterEvent(job, { type, run: id, at, state, started, duration = 0, attempt = 1 }) {
  const open = job.open.filter((run) => run.id !== id);
  if (type === "job.deleted") return { ...job, gone: true };
  if (type === "run.claimed") return { ...job, open: [...open, { id, state, started: null }] };
  if (type === "run.started") return { ...job, open: [...open, { id, state, started: started ?? at }] };
  if (type !== "run.finished") return job; // what else it is, is read
  return { ...job, open, results: [...job.results, { started: started ?? at, duration, state, retries: attempt - 1 }] };
}
