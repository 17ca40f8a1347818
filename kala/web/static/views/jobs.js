// All jobs, as a table that the server searches, sorts and pages. What is shown follows the events; rows never jump: that
// there are others is said, and they come when they are asked for.

import {
  act, bind, button, fill, get, go, h, heads, keyed, link, plural, put, reader, short, subscribe, unread,
} from "../base.js";
import { TASKS, firstJob, may, picking } from "../parts/jobacts.js";
import { afterEvent, makeRow, updateRow } from "../parts/jobrow.js";

const PAGE = 50;
const TYPING = 200; // ms between searches
const DRAW = 250; // ms between drawings of what events have changed
const DIRTY = 1000;
const TOTAL = 3000; // the server looks at every job for it when they are searched
const STATES = ["active", "running", "failing", "disabled", "done"];
const COLUMNS = { Name: "name", Owner: "owner", Runs: "", "Last results": "last_attempted_run", Now: "", "Next run": "next_run_at" }; // sorted by

export function open(root, params, signal) {
  let filters = null; // what the address says: {q, state, owner, sort, after, label: [text]}, "" where there is none
  let rows = new Map(); // what is shown, in order: briefs by id
  let next = null;
  let base = null; // how many jobs match, but for those that are said to be new; null before anything is read
  let asks = 0; // for the list
  const dirty = new Set(); // ids of what is to be read again

  const search = h("input", {
    type: "search", "aria-label": "Search jobs", placeholder: "Part of a name, id, command or owner", autocomplete: "off",
    oninput: () => show({ q: search.value }, { replace: true }), onkeydown: arrow,
  });
  const words = () => filters.state.split(",");
  const states = STATES.map((word) => button(word, () => show({ state: STATES.filter((one) => words().includes(one) !== (one === word)).join() })));
  const orders = Object.entries(COLUMNS).flatMap(([text, key]) => (key ? [[text, key], [`${text}, backwards`, `-${key}`]] : []));
  const sort = h("select", { "aria-label": "Order", onchange: () => show({ sort: sort.value }) },
    [["Oldest first", ""], ["Newest first", "-created"], ...orders].map(([text, value]) => h("option", { value }, text)));
  const chosen = h("span");
  const total = h("span.soft", { role: "status" });
  const news = h("p", { role: "status" });
  const trouble = h("p.fault", { role: "alert" });
  const empty = h("div.empty");
  const body = h("tbody", { onkeydown: arrow });
  const there = () => [...rows.values()].filter((job) => !job.gone);
  const picked = picking({ jobs: there, changed: draw, touch });
  const columns = Object.entries(COLUMNS).map(([text, key]) => (key ? button(text, () => show({ sort: turned(key) }), "plain") : text));
  const table = h("table", heads(picked.every, ...columns, h("span.sr-only", "Actions")), body);
  const beginning = h("a.button", "First page");
  const following = h("a.button", "Next page");

  fill(root,
    h("div.bar", h("h1", "Jobs"), total, h("a.button.primary", { href: link("edit") }, "New job")),
    h("div.bar.filters", { role: "search" }, search, h("span", { role: "group", "aria-label": "Only jobs that are" }, states), sort, chosen),
    news, trouble, h("div.scroll", table), empty,
    h("nav.bar", { "aria-label": "Pages" }, beginning, following), picked.element);

  const onFault = unread(trouble, "The jobs cannot be read", want);
  const list = reader(read, { every: TYPING, signal, onFault });
  // of what is read beside the list only faults are told: that it can be read again, the list says
  const beside = (task, every) => reader(task, { every, signal, onFault: (error) => error && onFault(error) });
  const rereads = beside(readDirty, DIRTY);
  const drawing = beside(draw, DRAW);
  const counting = beside(readTotal, TOTAL);

  // What is another begins at its first page.
  function show(changes, options) {
    go(link("jobs", { ...filters, after: "", ...changes }), options);
  }

  const turned = (key) => ({ [key]: `-${key}`, [`-${key}`]: "" })[filters.sort] ?? key;
  const chip = (text, changes) => h("button.line", { "aria-label": `No longer only ${text}`, onclick: () => show(changes) }, `${short(text, 60)} ×`);
  const ask = (more) => get("/job/", { brief: true, ...filters, ...more }, signal);
  const isBusy = () => table.ariaBusy === "true";

  function want() {
    asks += 1;
    table.ariaBusy = "true";
    list.want();
  }

  async function read() {
    const before = asks;
    let answer;
    try {
      answer = await ask({ limit: PAGE });
    } catch (error) {
      table.ariaBusy = "false";
      if (error.status === 404 && filters.after) return show({}, { replace: true }); // what the page began after is gone
      throw error;
    }
    if (before !== asks) return; // it is read again
    rows = new Map(Object.entries(answer.jobs));
    [next, base] = [answer.next, answer.total];
    put(total, plural(base, "job"));
    fill(news);
    table.ariaBusy = "false";
    rereads.want();
    draw();
  }

  async function readDirty() {
    if (isBusy()) return; // it is wanted again when the list is there
    const ids = [...dirty].filter((id) => rows.has(id));
    dirty.clear();
    if (!ids.length) return;
    const before = rows;
    const { jobs } = await get("/job/", { brief: true, id: ids }, signal);
    if (rows !== before) return;
    for (const id of ids) rows.set(id, jobs[id] ?? { ...rows.get(id), gone: true });
    draw();
  }

  // How many match now: what is above those that were there when the list was read is new.
  async function readTotal() {
    const before = asks;
    const answer = await ask({ after: "", sort: "", limit: 1 });
    if (before !== asks) return;
    if (!rows.size) return answer.total > 0 && want();
    const all = answer.total + rows.size - there().length;
    base = Math.min(base, all);
    put(total, plural(answer.total, "job"));
    // by another order they might not be on this page
    fill(news, all > base && button(`${plural(all - base, "new job")}: show`, () => show({ sort: "-created" })));
  }

  function draw() {
    keyed(body, [...rows.values()], (job) => job.id, (job) => makeRow(job, does), (row, job) => updateRow(row, job, picked.has(job.id)));
    table.hidden = !rows.size;
    empty.hidden = rows.size > 0 || base === null;
    const { sort: order, ...others } = filters;
    const isChosen = Object.values(others).some((one) => one.length);
    if (!empty.hidden) fill(empty, isChosen ? [h("p", "No job matches."), h("a.button", { href: link("jobs", { sort: order }) }, "Clear the filters")] : firstJob("There is no job yet. "));
    beginning.hidden = !filters.after;
    beginning.href = link("jobs", { ...filters, after: "" });
    following.hidden = !next;
    following.href = link("jobs", { ...filters, after: next });
    picked.draw();
  }

  function touch(id) {
    dirty.add(id);
    rereads.want();
  }

  const does = {
    pick: (event, id) => picked.pick(id, event.target.checked, event.shiftKey),
    act: (id, control) => {
      const job = rows.get(id);
      const verb = control.textContent;
      act(control, control.ariaLabel, async () => {
        if (!await may(verb, [job])) return;
        await TASKS[verb](job);
        touch(id);
      });
    },
    filter: (name, value) => show({ [name]: name === "label" ? [...new Set([...filters.label, value])] : value }),
  };

  const current = () => body.querySelector("tr:focus-within");

  function step(by) {
    const all = [...body.rows];
    all[current() ? all.indexOf(current()) + by : 0]?.querySelector(".title").focus();
  }

  function arrow(event) {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    step(by);
  }

  const press = (part) => () => current()?.parts[part].click();
  bind([
    ["/", "Search jobs", () => search.select()],
    ["j", "The next row (Enter opens it)", () => step(1)],
    ["k", "The row before", () => step(-1)],
    ["s", "Start the row's job", press("start")],
    ["e", "Edit the row's job", press("edit")],
    ["x", "Select the row", press("pick")],
    ["Delete", "Delete the row's job", press("remove")],
  ], signal);

  subscribe(({ events, reload }) => {
    if (reload) return want();
    for (const event of events) {
      const { type, job: id } = event;
      if (!id || type === "run.output") continue;
      const job = rows.get(id);
      if (job) rows.set(id, afterEvent(job, event));
      if (job || isBusy()) dirty.add(id);
      if (filters.state || type === "job.deleted" || (type === "job.saved" && !job)) counting.want();
    }
    if (dirty.size) {
      drawing.want();
      rereads.want();
    }
  }, signal);

  // The controls as the address has them.
  function update(given) {
    const after = filters?.after;
    filters = Object.fromEntries(["q", "state", "owner", "sort", "after"].map((name) => [name, given.get(name) ?? ""]));
    filters.label = given.getAll("label");
    if (after !== filters.after) scrollTo(0, 0);
    if (document.activeElement !== search) search.value = filters.q;
    for (const one of states) one.ariaPressed = words().includes(one.textContent);
    sort.value = filters.sort;
    for (const one of table.querySelectorAll("th > .plain")) {
      const key = COLUMNS[one.textContent];
      one.parentElement.ariaSort = { [key]: "ascending", [`-${key}`]: "descending" }[filters.sort] ?? "none";
    }
    fill(chosen, filters.label.map((one) => chip(`label ${one}`, { label: filters.label.filter((other) => other !== one) })),
      filters.owner && chip(`owner ${filters.owner}`, { owner: "" }));
    want();
    return true;
  }

  update(params);
  draw();
  return { update };
}
