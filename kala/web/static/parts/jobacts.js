// What can be done with jobs of a list, one by one or with a selection. Jobs are briefs: {id, name, dependent_jobs, …}.

import { API, ask, button, h, jobPath, link, number, plural, put, say, send, short } from "../base.js";

const AT_A_TIME = 6;

const post = (verb) => (job) => send("POST", jobPath(job.id, verb), undefined, { query: { wait: false } });

export const TASKS = {
  Start: post("start"), Enable: post("enable"), Disable: post("disable"),
  // gone is gone, whoever deleted it: a parent that was deleted before takes its children with it
  Delete: (job) => send("DELETE", jobPath(job.id)).catch((error) => {
    if (error.status !== 404) throw error;
  }),
};

// Whether this may be done with these: what cannot be undone is asked.
export async function may(verb, jobs) {
  if (verb !== "Delete") return true;
  const children = new Set(jobs.flatMap((job) => job.dependent_jobs ?? []));
  for (const job of jobs) children.delete(job.id);
  const what = jobs.length === 1 ? short(jobs[0].name, 80) : plural(jobs.length, "job");
  return ask(`Delete ${what}?`, [
    h("p", "What runs goes on to its end. This cannot be undone."),
    children.size > 0 && h("p", h("strong", `After it: ${plural(children.size, "job")}.`), " Those that have no other parent go as well, and so on."),
  ], jobs.length === 1 ? verb : `Delete ${what}`);
}

// Do `task(item)` with each, some at a time. `tell(done)` after each; what failed comes back: [{item, error}].
export async function each(items, task, tell) {
  const left = items.values(); // all take from it
  const failed = [];
  let done = 0;
  await Promise.all(Array.from({ length: AT_A_TIME }, async () => {
    for (const item of left) {
      await task(item).catch((error) => failed.push({ item, error }));
      done += 1;
      tell(done);
    }
  }));
  return failed;
}

// A selection of rows: {element, every: a checkbox for all, has(id), pick(id, isPicked, isRange), draw()}. `jobs()`: those that
// can be selected, in order. `changed()` is called when others are selected; `touch(id)` when a job is to be read again.
export function picking({ jobs, changed, touch }) {
  const ids = new Set();
  let last = ""; // where a range begins
  let working = false;

  const every = h("input", { type: "checkbox", "aria-label": "Select all on this page", onclick: () => set(jobs(), every.checked) });
  const count = h("strong", { role: "status" });
  const buttons = Object.keys(TASKS).map((verb) => button(verb, () => all(verb), verb === "Delete" && "danger"));
  const none = button("Select none", () => set(jobs(), false), "plain");
  const element = h("div.panel.bar", { role: "group", "aria-label": "With the selected jobs" }, count, buttons, none);

  // what is not seen is not worked on
  const selected = () => jobs().filter((job) => ids.has(job.id));

  function set(some, isPicked) {
    for (const { id } of some) ids[isPicked ? "add" : "delete"](id);
    changed();
  }

  function pick(id, isPicked, isRange) {
    const order = jobs();
    const [from, to] = [last, id].map((end) => order.findIndex((job) => job.id === end)).sort((a, b) => a - b);
    last = id;
    set(isRange && from >= 0 ? order.slice(from, to + 1) : [{ id }], isPicked);
  }

  // It goes on when the view is left: half of it would be worse.
  async function all(verb) {
    const items = selected();
    if (!await may(verb, items)) return;
    working = true;
    draw();
    const failed = await each(items, TASKS[verb], (done) => put(count, `${number(done)} of ${number(items.length)} …`));
    working = false;
    ids.clear();
    for (const { item } of failed) ids.add(item.id); // to be tried again
    for (const { id } of items) touch(id);
    const sum = `${verb}${verb.endsWith("e") ? "d" : "ed"} ${number(items.length - failed.length)} of ${plural(items.length, "job")}.`;
    const faults = failed.map(({ item, error }) => `${short(item.name, 80)}: ${error.message}`);
    if (faults.length) say(`${sum} ${number(faults.length)} failed: ${faults.join("; ")}`, { kind: "error" });
    else say(sum);
    changed();
  }

  function draw() {
    const { length } = selected();
    every.checked = length > 0 && length === jobs().length;
    every.indeterminate = length > 0 && !every.checked;
    element.hidden = !working && !length;
    if (!working) put(count, `${number(length)} selected`);
    for (const one of buttons) one.disabled = working;
  }

  return { element, every, has: (id) => ids.has(id), pick, draw };
}

// What stands where there are no jobs to show.
export const firstJob = (text) => [
  h("p", text, h("a", { href: link("edit") }, "Make one with the form"), ", or in a shell:"),
  h("pre", { tabindex: 0 }, `curl ${API}/job/ -d '{"name": "hello", "command": "echo hello", "schedule": "* * * * *"}'`),
];
