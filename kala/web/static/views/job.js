// One job: what became of it, what comes, what it is, and what it hangs together with.

import {
  act, API, at, badge, bind, button, bytes, countdown, duration, every, fill, get, go, growing, h, here, jobPath, keyed,
  link, localFull, number, put, reader, refill, retitle, short, subscribe, unread,
} from "../base.js";
import { draftOf, plain } from "../parts/fields.js";
import { graph } from "../parts/graph.js";
import { history, isOpen, SPANS } from "../parts/history.js";
import { may, TASKS } from "../parts/jobacts.js";
import { measures } from "../parts/measures.js";
import { timeline } from "../parts/timeline.js";

const COMING = [
  ["Here", (one) => at(one.at, localFull)],
  ["By its own clock", (one) => [h("span.mono", one.local.replace("T", " ")), " ", h("small", one.note)]],
];
const RUNS = [
  ["State", (run) => [runLink(run, badge(run.state)), run.count > 1 && ` × ${number(run.count)}`]],
  ["Scheduled for", (run) => [at(run.scheduled_for), run.count > 1 && [" to ", at(run.until)]]],
  ["Started", (run) => run.started && at(run.started)],
  ["Duration", (run) => run.started && (isOpen(run) ? growing(run.started) : duration(run.duration)), "number"],
  ["Late by", (run) => run.started && duration(run.lateness), "number"],
  ["Why", (run) => short(run.explanation, 300)],
];

const idOf = (params) => params.get("id") || "none";
const runLink = ({ id }, text) => h("a", { href: link("run", { id }) }, text);
const toJobs = () => h("a", { href: link("jobs") }, "To the jobs");
const panel = (name, ...content) => h("section.panel", h("h2", name), content);

// {element, update(items)}: `columns` are [head, show(item), class]; rows are told apart by the member `key`.
function table(columns, key) {
  const body = h("tbody");
  const element = h("div.scroll", h("table",
    h("thead", h("tr", columns.map(([head, , look]) => h("th", { scope: "col", class: look }, head)))), body));
  const row = (place, item) => refill(place, JSON.stringify(item), () => columns.map(([, show, look]) => h("td", { class: look }, show(item))));
  return { element, update: (items) => keyed(body, items, (item) => item[key], () => h("tr"), row) };
}

// Its definition: what is not as it would be without saying, in words and as JSON.

const block = (label, ...content) => h("pre", { tabindex: 0, "aria-label": label }, content);

// How a member is shown where that is not its text; null: elsewhere, as in the graph.
const MEMBERS = {
  name: null,
  type: null,
  shell: null,
  parent_jobs: null,
  on_failure_job: null,
  command: (text, job) => block("Command", job.shell && h("span.soft", "/bin/sh -c "), text),
  remote_properties: (call) => list(call, MEMBERS),
  body: (text) => block("Body", text),
  timeout: (time) => (time > 0 ? `${time} s` : time), // a call's is a number
  labels: (labels) => Object.entries(labels).map((pair) => [h("span.label", pair.join("=")), " "]),
  output_limit: bytes,
};

function list(values, members) {
  return h("dl.facts", Object.entries(values).map(([name, value]) => members?.[name] !== null && [
    h("dt", members ? name.replaceAll("_", " ") : name), h("dd", (members?.[name] ?? shown)(value, values))]));
}

function shown(value) {
  if (Array.isArray(value)) return value.some(plain) ? value.map(shown) : value.join(", ");
  return plain(value) ? list(value) : value === true ? "yes" : String(value);
}

// `words`: the schedule in plain words. The JSON makes the same job again.
function definition(job, words) {
  const draft = draftOf(job);
  return [list({ when: words, ...draft }, MEMBERS),
    h("details", h("summary", "As JSON"), block("The definition as JSON", JSON.stringify(draft, null, 2)))];
}

export function open(root, params, signal) {
  const id = idOf(params);
  let job = null; // its whole definition, as it was last
  let brief; // what changes with each run; null when it is deleted

  const heading = h("h1");
  const actions = [["Start", "s", "primary"], ["Disable", "d"], ["Edit", "e", "button", { id }], ["Duplicate", "c", "button", { copy: id }], ["Delete", "Delete", "danger"]]
    .map(([text, keys, look, given]) => {
      const one = given ? h("a", { class: look, href: link("edit", given) }, text)
        : button(text, () => act(one, one.textContent, () => carryOut(one.textContent)), look);
      bind([[keys, `${text} this job`, () => one.checkVisibility() && one.click()]], signal);
      return one;
    });
  const gone = h("p.banner.warn", { role: "status" }, "This job is deleted. Its runs are kept for a while. ", toJobs());
  const status = h("p.bar.status");
  const on = h("ul.bar.on");
  const faults = h("div.fault", { role: "status" });
  const spans = h("select", { onchange: () => go(address({ span: spans.value })) }, Object.entries(SPANS).map(([value, [text]]) => h("option", { value }, text)));
  const line = timeline();
  const none = h("p", "It has not run yet. By hand: ", h("code", `curl -X POST ${API}${jobPath(id, "start")}`));
  const coming = h("div");
  const moments = table(COMING, "at");
  const facts = h("div");
  const net = graph(id, { signal, onFault: failed("The graph") });
  const figures = measures();
  const rows = table(RUNS, "id");
  const [newer, older] = ["Newest", "Older"].map((text) => h("a.button", text));
  const about = h("div", h("div.grid", panel("Coming", coming), panel("Definition", facts)), panel("Parents and children", net.element));
  const numbers = panel("In figures", figures.element);
  const listed = panel("Runs", rows.element, newer, " ", older);
  const whole = h("div", h("div.bar", heading, actions), gone, status, on,
    panel("Runs along time", h("label", "Show ", spans), none, line.element), about, numbers, listed);
  root.append(faults, "Reading …");

  async function carryOut(verb) {
    if (!(await may(verb, [brief]))) return;
    await TASKS[verb](brief);
    if (verb === "Delete") go(link("jobs"));
  }

  function failed(what) {
    const place = h("p");
    faults.append(place);
    return unread(place, `${what} cannot be read now`, readAll);
  }

  // Reading, at most once a second: the definition when it is another, and what changes with each run.

  const runs = history(id, { signal, onFault: failed("The runs"), told: show });
  const source = reader(async () => {
    const { jobs } = await get("/job/", { brief: true, id }, signal);
    const found = jobs[id] ?? null;
    if (found && found.version !== job?.version) ({ job } = await get(jobPath(id), {}, signal));
    try {
      await Promise.all([runs.renew(), found && get(`${jobPath(id)}next/`, {}, signal).then(showComing)]);
    } finally {
      brief = found;
      show();
    }
  }, { every: 1000, signal, onFault: failed("What is on") });

  function readAll() {
    for (const one of [source, net, runs.all]) one.want();
  }

  function told({ events, reload }) {
    net.take(events);
    if (reload) readAll();
    // those of no job are of the daemon and its database
    if (events.some((event) => (event.job === id ? event.type !== "run.output" : !event.job))) source.want();
  }

  // Each second: what is on grows, and what could not be read is tried again.
  function tick() {
    const { runs: shown, from } = runs.chosen();
    if (from || shown.some(isOpen)) line.update(shown, from);
    if (faults.textContent) readAll();
  }

  // Showing.

  function show() {
    if (brief === undefined) return;
    const { runs: shown, from, page } = runs.chosen();
    const hasRun = page.runs.length > 0;
    if (!job && !hasRun) {
      return fill(root, faults, h("h1", "There is no such job"), h("p", "None has the id ", h("span.mono", short(id, 200)), ", and no run of one is kept. ", toJobs()));
    }
    if (!whole.isConnected) fill(root, faults, whole);
    const name = job?.name ?? (page.runs[0].job_name || id);
    put(heading, name);
    retitle(short(name), signal);
    for (const one of [...actions, status, on, coming.parentElement]) one.hidden = !brief;
    gone.hidden = !!brief;
    about.hidden = !job;
    none.hidden = hasRun || !brief;
    line.element.hidden = listed.hidden = !hasRun;
    numbers.hidden = !figures.update(shown, line.update(shown, from));
    rows.update(page.runs);
    newer.hidden = !here().get("after");
    newer.href = address({});
    older.hidden = !page.next;
    older.href = address({ after: page.next });
    if (!brief) return;
    refill(facts, `${job.version} ${brief.words}`, () => definition(job, brief.words));
    const last = brief.results.at(-1);
    const word = brief.disabled ? "disabled" : brief.is_done && "done";
    put(actions[1], brief.disabled ? "Enable" : "Disable");
    fill(status, word && h("span.label", word),
      last && h("span", "last ", badge(last.state), ", ", at(last.started)),
      brief.next_run_at && h("span", "next ", countdown(brief.next_run_at)),
      h("span", `since it was made ${number(brief.success_count)} succeeded, and ${number(brief.error_count)} attempts failed`));
    keyed(on, brief.open, (run) => run.id, () => h("li"), (item, run) => refill(item, run.state + run.started, () => [
      badge(run.state), run.started && [" for ", growing(run.started)], " ", runLink(run, "Output")]));
  }

  function showComing({ next: all, explanation }) {
    moments.update(all);
    fill(coming, explanation && h("p", `${explanation[0].toUpperCase()}${explanation.slice(1)}.`),
      all.length > 0 && [h("p", "The next one is ", countdown(all[0].at), "."), moments.element]);
  }

  const address = (more) => link("job", { id, span: here().get("span"), ...more });

  function update(given) {
    if (idOf(given) !== id) return false;
    spans.value = given.get("span");
    spans.value ||= "100"; // it was none of them
    runs.look(spans.value, given.get("after"));
    source.want();
    return true;
  }

  subscribe(told, signal);
  every(1000, tick, signal);
  update(params);
  net.want();
  return { update };
}
