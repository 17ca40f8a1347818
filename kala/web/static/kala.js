// The page: reads the API, hears of changes over a websocket, and reads again what changed.
// What comes from a job is only ever set as text, never as markup.

const API = "/api/v1";
const MOST = 500; // rows; a browser is slow with more
const THROTTLE = 500; // ms between readings of what changed
const MANY = 50; // changed jobs; above this the list is read as a whole
const NEVER = "0001-01-01T00:00:00Z";

const $ = (id) => document.getElementById(id);
const rows = new Map(); // job id: its row
let changed = new Set();
let total = 0;
let timer = null;
let reading = false;
let wholeList = false;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function say(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

async function call(method, path, body) {
  const options = { method, headers: {} };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const response = await fetch(API + path, options);
  const text = await response.text();
  let answer = null;
  try {
    answer = text ? JSON.parse(text) : null;
  } catch {
    answer = null;
  }
  if (!response.ok) {
    const error = new Error(answer?.error ?? `the server answered ${response.status}`);
    error.status = response.status;
    error.fields = answer?.fields ?? {};
    throw error;
  }
  return answer;
}

function moment(text) {
  if (!text || text === NEVER) return "–";
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? text : date.toLocaleString();
}

function strip(stats) {
  const shown = element("div", { className: "strip" });
  for (const row of (stats ?? []).slice(-20)) {
    const tries = row.number_of_retries ? `, ${row.number_of_retries} retries` : "";
    const title = `${moment(row.ran_at)}: ${row.success ? "succeeded" : "failed"}${tries}`;
    shown.append(element("i", { className: row.success ? "good" : "", title }));
  }
  const last = (stats ?? []).at(-1);
  if (last) shown.append(element("span", { textContent: last.success ? " ok" : " failed" }));
  return shown;
}

function button(text, act) {
  const made = element("button", { type: "button", textContent: text });
  made.addEventListener("click", async () => {
    made.disabled = true;
    try {
      await act();
      say("");
    } catch (error) {
      say(error.message);
    } finally {
      made.disabled = false;
    }
  });
  return made;
}

function rowOf(job) {
  const path = encodeURIComponent(job.id);
  const after = (act) => async () => {
    await act();
    touch(job.id);
  };
  const state = [];
  if (job.disabled) state.push("disabled");
  if (job.is_done) state.push("done");
  return element(
    "tr",
    {},
    element("td", {}, element("div", { textContent: job.name }), element("div", { className: "id", textContent: job.id })),
    element("td", { className: "schedule", textContent: job.schedule || (job.parent_jobs?.length ? "after its parents" : "once") }),
    element("td", { textContent: job.is_done || job.disabled ? "–" : moment(job.next_run_at) }),
    element("td", {}, strip(job.stats)),
    element("td", { className: state.length ? "off" : "", textContent: state.join(", ") || "active" }),
    element(
      "td",
      {},
      element(
        "div",
        { className: "actions" },
        button("Start", after(() => call("POST", `/job/start/${path}/?wait=false`))),
        job.disabled
          ? button("Enable", after(() => call("POST", `/job/enable/${path}/`)))
          : button("Disable", after(() => call("POST", `/job/disable/${path}/`))),
        button("Delete", after(async () => {
          if (confirm(`Delete the job “${job.name}”?`)) await call("DELETE", `/job/${path}/`);
        })),
      ),
    ),
  );
}

function show(job) {
  const row = rowOf(job);
  if (rows.has(job.id)) rows.get(job.id).replaceWith(row);
  else if (rows.size < MOST) $("jobs").append(row);
  else return;
  rows.set(job.id, row);
}

function drop(id) {
  rows.get(id)?.remove();
  rows.delete(id);
}

async function readTotals() {
  const { Stats } = await call("GET", "/stats/");
  total = Stats.jobs;
  const shown = [
    ["active", Stats.active_jobs],
    ["disabled", Stats.disabled_jobs],
    ["succeeded", Stats.success_count],
    ["failed", Stats.error_count],
    ["next run", moment(Stats.next_run_at)],
  ].map(([name, value]) => element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value })));
  $("totals").replaceChildren(...shown);
}

function count() {
  $("count").textContent = total > rows.size ? `The first ${rows.size} of ${total} jobs` : `${rows.size} jobs`;
}

async function readList() {
  const { jobs } = await call("GET", `/job/?limit=${MOST}`);
  rows.clear();
  $("jobs").replaceChildren();
  Object.values(jobs).forEach(show);
}

async function readJob(id) {
  try {
    const { job } = await call("GET", `/job/${encodeURIComponent(id)}/`);
    show(job);
  } catch (error) {
    if (error.status !== 404) throw error;
    drop(id);
  }
}

async function read() {
  timer = null;
  if (reading) return touch();
  reading = true;
  const ids = [...changed].filter((id) => id && (rows.has(id) || rows.size < MOST));
  const whole = wholeList || ids.length > MANY;
  changed = new Set();
  wholeList = false;
  try {
    if (whole) await readList();
    else for (const id of ids) await readJob(id);
    await readTotals();
    count();
  } catch (error) {
    say(`Not up to date: ${error.message}`);
  } finally {
    reading = false;
  }
}

function touch(id, whole = false) {
  if (id) changed.add(id);
  wholeList ||= whole;
  timer ??= setTimeout(read, THROTTLE);
}

function live(yes) {
  $("live").dataset.live = yes ? "yes" : "no";
  $("live").textContent = yes ? "live" : "not live";
}

function connect(delay = 1000) {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${API}/events/`);
  socket.addEventListener("open", () => {
    live(true);
    say("");
    delay = 1000;
    touch("", true); // what happened meanwhile was not heard
  });
  socket.addEventListener("message", (message) => {
    for (const event of JSON.parse(message.data).events) if (event.type !== "run.output") touch(event.job);
  });
  socket.addEventListener("close", () => {
    live(false);
    setTimeout(() => connect(Math.min(delay * 2, 30000)), delay);
  });
}

function given(form) {
  const job = { type: 0 };
  for (const [name, value] of new FormData(form)) {
    const text = value.trim();
    if (!text) continue;
    if (name === "remote_properties.url") Object.assign(job, { type: 1, remote_properties: { url: text } });
    else job[name] = name === "retries" ? Number(text) : text;
  }
  return job;
}

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  for (const input of form.elements) input.removeAttribute("aria-invalid");
  $("faults").replaceChildren();
  try {
    const made = await call("POST", "/job/", given(form));
    form.reset();
    say((made.warnings ?? []).join(" "));
    touch(made.id);
  } catch (error) {
    const fields = Object.entries(error.fields ?? {});
    const faults = fields.length ? fields.map(([path, fault]) => (path ? `${path} ${fault}` : fault)) : [error.message];
    $("faults").replaceChildren(...faults.map((text) => element("li", { textContent: text })));
    for (const [path] of fields) form.elements.namedItem(path)?.setAttribute("aria-invalid", "true");
  }
});

live(false);
wholeList = true;
read();
connect();
