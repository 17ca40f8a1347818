// What the page knows of the daemon, in one place. Events come in from `live.js`, are gathered until the next frame, change
// the state, and then those are told who have subscribed: once a frame, however many events there were.

import { FAILING, OPEN } from "./states.js";
import { ms, now } from "./time.js";

const RUNNING_MOST = 500; // open runs that are held one by one; above that only what the server counts
const FAILURES_MOST = 50;
const PENDING_MOST = 5000; // events; a hidden page gets no frames, and takes them in such portions
const MINUTES = 60;

export const state = {
  connection: "connecting", // or "live", "lost"
  retryAt: null, // ms, by the browser's monotonic clock, while it is lost
  lost: null, // ms since when it is
  ready: null, // what /readyz says: {ok, error, database_away_since, waiting}
  node: null, // what /node/ says
  running: new Map(), // open runs by id: {id, job_id, job_name, state, scheduled_for, started, attempt}
  failures: [], // {id, job_id, job_name, state, at, error, reason, count}, newest first
  minutes: [], // of the last hour, as /stats/recent/ has them
  countedSince: null, // from when on `minutes` counts
};

const subscribers = new Set();
let pending = [];
let planned = false;

// Be told after each frame in which something has happened: `tell({events, reload, changed})`. `reload`: too much was
// missed, so that everything shown is to be read again; `changed` names what of `state` is another: "connection", "ready",
// "node", "running", "failures", "minutes".
export function subscribe(tell, signal) {
  const one = { tell };
  subscribers.add(one);
  signal.addEventListener("abort", () => subscribers.delete(one));
}

// Set members of the state, and tell of it.
export function set(members) {
  Object.assign(state, members);
  announce([], false, new Set(Object.keys(members).map((name) => (["retryAt", "lost"].includes(name) ? "connection" : name))));
}

// Everything that is shown is to be read again.
export function reload() {
  pending = [];
  announce([], true, new Set());
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
  if (!pending.length) return;
  const events = pending;
  pending = [];
  const changed = new Set();
  for (const event of events) apply(event, changed);
  announce(events, false, changed);
}

function announce(events, isReload, changed) {
  for (const one of [...subscribers]) {
    // one view's fault is not another's
    try {
      one.tell({ events, reload: isReload, changed });
    } catch (error) {
      reportError(error);
    }
  }
}

function apply(event, changed) {
  switch (event.type) {
    case "run.claimed":
    case "run.started":
      open(event, changed);
      break;
    case "run.finished":
      if (state.running.delete(event.run)) changed.add("running");
      count(event, event.state, 1, changed);
      if (FAILING.includes(event.state)) failed(event, changed);
      break;
    case "occurrence.skipped":
      count(event, "skipped", event.count ?? 1, changed);
      break;
    case "occurrence.missed":
      count(event, "missed", event.count ?? 1, changed);
      failed(event, changed);
      break;
    default:
  }
}

function open(event, changed) {
  const known = state.running.get(event.run);
  const isStart = event.type === "run.started";
  if (isStart && (event.attempt ?? 1) === 1) {
    const minute = minuteOf(event, changed);
    if (minute) minute.started += 1;
  }
  if (!known && state.running.size >= RUNNING_MOST) return;
  state.running.set(event.run, {
    id: event.run,
    job_id: event.job,
    job_name: event.job_name ?? known?.job_name ?? "",
    state: event.state ?? (isStart ? "running" : "claimed"),
    scheduled_for: event.scheduled_for ?? known?.scheduled_for ?? null,
    started: event.started ?? known?.started ?? (isStart ? event.at : null),
    attempt: event.attempt ?? 1,
  });
  changed.add("running");
}

function failed(event, changed) {
  state.failures.unshift({
    id: event.run ?? "", job_id: event.job, job_name: event.job_name ?? "", state: event.state ?? "missed", at: event.at,
    error: event.error ?? "", reason: event.reason ?? "", count: event.count ?? 1,
  });
  if (state.failures.length > FAILURES_MOST) state.failures.length = FAILURES_MOST;
  changed.add("failures");
}

function count(event, name, many, changed) {
  const minute = minuteOf(event, changed);
  if (minute && name in minute) minute[name] += many;
}

// The minute that an event is counted in; null when it is older than what is shown, or nothing is.
function minuteOf(event, changed) {
  if (!state.minutes.length) return null;
  roll(ms(event.at));
  const place = state.minutes.length - 1 - Math.floor((ms(state.minutes.at(-1).at) + 59_999 - ms(event.at)) / 60_000);
  changed.add("minutes");
  return state.minutes[place] ?? null;
}

// Let the minutes reach up to a moment.
export function roll(moment = now()) {
  if (!state.minutes.length) return;
  let last = ms(state.minutes.at(-1).at);
  while (moment >= last + 60_000) {
    last += 60_000;
    state.minutes.push({
      at: new Date(last).toISOString(), started: 0, succeeded: 0, failed: 0, timed_out: 0, cancelled: 0, lost: 0, skipped: 0,
      missed: 0, lateness: null,
    });
    if (state.minutes.length > MINUTES) state.minutes.shift();
  }
}

// Put open runs, as /run/ has them, in place of those that are known.
export function setRunning(runs) {
  const started = (run) => run.attempts.at(-1)?.started ?? run.started;
  state.running = new Map(
    runs.filter((run) => OPEN.includes(run.state)).map((run) => [
      run.id,
      {
        id: run.id, job_id: run.job_id, job_name: run.job_name, state: run.state, scheduled_for: run.scheduled_for,
        started: run.state === "running" ? started(run) : null, attempt: run.attempts.length || 1,
      },
    ]),
  );
  announce([], false, new Set(["running"]));
}

// The same of runs that failed, newest first.
export function setFailures(runs) {
  state.failures = runs.map((run) => ({
    id: run.id, job_id: run.job_id, job_name: run.job_name, state: run.state, at: run.ended ?? run.until ?? run.scheduled_for,
    error: run.attempts.at(-1)?.error ?? "", reason: run.reason, count: run.count,
  }));
  announce([], false, new Set(["failures"]));
}
