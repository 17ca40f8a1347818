// What the page knows of the daemon, in one place. Events come in from `live.js`, are gathered until the next frame, change
// the state, and then those are told who have subscribed: once a frame, however many events there were.

import { FAILING } from "./states.js";
import { ms } from "./time.js";

const RUNNING_MOST = 300; // open runs that are held one by one; above that only what the server counts
const FAILURES_MOST = 50;
const PENDING_MOST = 5000; // events; a hidden page gets no frames, and takes them in such portions
const MINUTES = 60;

// What is kept of a run has at least {id, job_name, state, trigger, started, attempt}, and when it has failed {at, error, reason,
// count}. What does not apply may be left out, as in events.
export const state = {
  connection: "connecting", // or "live", "lost"
  lost: null, // ms since when it is
  node: null, // what /node/ says
  running: new Map(), // open runs by id
  more: false, // or what is truthy: there are more open runs than these
  failures: [], // runs that failed and occurrences that were missed, newest first
  minutes: [], // of the last hour, as /stats/recent/ has them; a count that is left out is 0
};

const subscribers = new Set();
let pending = [];
let planned = false;

// Be told after each frame in which something has happened: `tell({events, reload, changed})`. `reload`: too much was
// missed, so that everything shown is to be read again; `changed` names what of `state` is another.
export function subscribe(tell, signal) {
  subscribers.add(tell);
  signal.addEventListener("abort", () => subscribers.delete(tell));
}

// Set members of the state, and tell of it.
export function set(members) {
  Object.assign(state, members);
  announce([], new Set(Object.keys(members)));
}

// Everything that is shown is to be read again.
export function reload() {
  pending = [];
  announce([], new Set(), true);
}

// Events, in order: they are taken in with the next frame.
export function take(events) {
  pending.push(...events);
  if (pending.length >= PENDING_MOST) return flush();
  if (planned) return;
  planned = true;
  if (document.hidden) setTimeout(flush, 1000);
  else requestAnimationFrame(flush);
}

function flush() {
  planned = false;
  const events = pending;
  pending = [];
  const changed = new Set();
  for (const event of events) for (const apply of [follow, note, count]) apply(event, changed);
  announce(events, changed);
}

function announce(events, changed, isReload = false) {
  for (const tell of [...subscribers]) {
    // one view's fault is not another's
    try {
      tell({ events, reload: isReload, changed });
    } catch (error) {
      reportError(error);
    }
  }
}

const fromEvent = (event) => ({ ...event, id: event.run });

// What an event says about open runs.
function follow(event, changed) {
  const { type, run } = event;
  if (type === "run.started" || type === "run.claimed") {
    if (state.running.size >= RUNNING_MOST && !state.running.has(run)) {
      state.more = true;
      return;
    }
    state.running.set(run, fromEvent(event));
    changed.add("running");
  } else if (["run.finished", "occurrence.skipped"].includes(type) && state.running.delete(run)) changed.add("running");
}

// What an event says about failures. A range of missed occurrences that grows is told of again.
function note(event, changed) {
  if (!FAILING.includes(event.state) || !["run.finished", "occurrence.missed"].includes(event.type)) return;
  state.failures = [fromEvent(event), ...state.failures.filter((one) => one.id !== event.run)].slice(0, FAILURES_MOST);
  changed.add("failures");
}

// What an event adds to the counts of its minute, if that is shown.
function count({ type, at, attempt, state: now, added = 1 }, changed) {
  const isStart = type === "run.started" && attempt === 1;
  if (!isStart && !["run.finished", "occurrence.skipped", "occurrence.missed"].includes(type)) return;
  roll(ms(at));
  const minute = state.minutes.findLast((one) => ms(one.at) <= ms(at));
  if (!minute) return;
  const name = isStart ? "started" : now;
  minute[name] = (minute[name] ?? 0) + added;
  changed.add("minutes");
}

// Let the minutes reach up to a moment.
function roll(moment) {
  const { minutes } = state;
  while (minutes.length && moment >= ms(minutes.at(-1).at) + 60_000) {
    minutes.push({ at: new Date(ms(minutes.at(-1).at) + 60_000).toISOString() });
    if (minutes.length > MINUTES) minutes.shift();
  }
}

// Read a part of the state anew: `keep` puts what `read()` gives in place of what is known. Events that come meanwhile may be
// newer, so they are taken in once more.
async function renew(name, read, keep, apply) {
  const heard = [];
  const hear = ({ events }) => heard.push(...events);
  subscribers.add(hear);
  try {
    keep(await read());
  } finally {
    subscribers.delete(hear);
  }
  const changed = new Set([name]);
  for (const event of heard) apply(event, changed);
  announce([], changed);
}

function fromRun(run) {
  const last = run.attempts.at(-1);
  const started = run.state === "running" ? (last?.started ?? run.started) : null;
  return { ...run, started, attempt: run.attempts.length, at: run.ended ?? run.until ?? run.scheduled_for, error: last?.error };
}

// `read()` gives {runs, more}, as /run/ has them.
export const renewRunning = (read) => renew("running", read, ({ runs, more }) => {
  state.more = more;
  state.running = new Map(runs.map((run) => [run.id, fromRun(run)]));
}, follow);

// `read()` gives runs, newest first.
export const renewFailures = (read) => renew("failures", read, (runs) => {
  state.failures = runs.map(fromRun);
}, note);
