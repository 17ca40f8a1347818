// The panels of the overview and the wall, which draw what the store knows, and how they are kept up to date.
// A panel: {element, draw(), read(signal)?, about?(event): whether it tells of what is to be read again, trouble?: where it is said
// that it cannot be read}.

import {
  act, ask, at, badge, countdown, day, every, get, growing, h, keyed, link, ms, now, number, put, reader, refill,
  renewFailures, renewRunning, runPath, send, set, short, state, subscribe, unread,
} from "../base.js";
import { chart } from "./chart.js";

const AGAIN = 2000; // ms between two readings of the same
const SELDOM = 10_000; // for what events do not tell
const DRAW = 300;
const PAGE = 100; // open runs
const FEW = 30; // so many open runs are to be known, if there are
const RANK = { running: 0, claimed: 1, waiting: 2 };
const WHY = { down: "while no daemon ran", paused: "while it was paused" };

// Keep panels up to date: read what they show, and go by events from then on. However much happens, the daemon is asked for
// each thing every two seconds at most.
export function follow(panels, signal) {
  const drawing = reader(async () => panels.forEach((panel) => panel.draw()), { every: DRAW, signal });
  const readers = panels.filter((panel) => panel.read).map(({ read, draw, about, trouble = h("p") }) => {
    const told = unread(trouble, "This may be old", () => own.want());
    const own = reader(read, { every: AGAIN, signal, onFault: (error) => {
      told(error);
      if (error) own.want();
      else draw();
    } });
    return { ...own, about };
  });
  const wantAll = () => readers.forEach((one) => one.want());
  subscribe(({ events, reload, changed }) => {
    if (changed.size) drawing.want();
    for (const { want, about } of readers) if (reload || (about && events.some(about))) want();
  }, signal);
  // a run that waits for its next attempt, and other daemons' runs, are not told of; and minutes go on without events
  every(SELDOM, wantAll, signal);
  drawing.want();
  wantAll();
}

function panel(title, ...body) {
  const heading = h("h2", title);
  const trouble = h("p.fault", { role: "status" });
  return { element: h("section.panel", heading, trouble, body), heading, trouble };
}

// A panel with a row for each of `items()`. `cells(item)` makes the row's, anew when `sign(item)` or the day is another.
function rows(title, empty, items, cells, more, sign = JSON.stringify) {
  const list = h("ul.now-rows");
  const none = h("p.none", empty);
  function draw() {
    keyed(list, items(), (item) => item.id, () => h("li"), (row, item) => refill(row, day(now()) + sign(item), () => cells(item)));
    none.hidden = !!list.firstChild;
  }
  return { ...panel(title, list, none), draw, ...more };
}

const named = (name, href) => h("a.line", { href, title: name }, short(name));
const detail = (text) => h("span.line.soft", { title: text }, short(text));
const figure = (content) => h("span.number", content);

// How many runs are on, and wait: as far as they are not all known one by one, the daemon's own numbers.
function counts() {
  if (state.more && state.node) return state.node;
  const waiting = [...state.running.values()].filter((run) => run.state === "waiting").length;
  return { running: state.running.size - waiting, waiting };
}

export function runningPanel(most, cancels) {
  const more = h("a", { href: link("jobs", { state: "running" }) });
  const made = rows("Running now", "Nothing runs.", () => {
    const { running, waiting } = counts();
    const all = [...state.running.values()].sort((a, b) => RANK[a.state] - RANK[b.state] || ms(a.started) - ms(b.started));
    const shown = all.slice(0, most);
    const left = running + waiting - shown.length;
    put(made.heading, `Running now: ${number(running)}` + (waiting ? `, ${number(waiting)} waiting` : ""));
    more.hidden = left <= 0;
    put(more, `${number(left)} more`);
    return shown;
  }, (run) => [
    badge(run.state),
    named(run.job_name, link("run", { id: run.id })),
    h("small", run.trigger, run.attempt > 1 && `, attempt ${run.attempt}`),
    figure(run.started && growing(run.started)),
    cancels && h("button.plain", { "aria-label": `Cancel ${short(run.job_name)}`, onclick: ({ currentTarget }) => act(currentTarget, "Cancel", async () => {
      const text = `The run of ${short(run.job_name)} is ended, and not tried again.`;
      if (await ask("Cancel this run?", text, "Cancel the run")) await send("POST", runPath(run.id, "cancel/"));
    }) }, "Cancel"),
  ], {
    read: (signal) => renewRunning(async () => {
      const [on, waiting] = await Promise.all(["claimed,running", "waiting"].map((words) => get("/run/", { state: words, limit: PAGE }, signal)));
      return { runs: [...on.runs, ...waiting.runs], more: on.next || waiting.next };
    }),
    about: () => state.more && state.running.size < FEW,
  },
  // a run that is read has more than its events have, of which nothing is shown
  (run) => [run.job_name, run.state, run.attempt || "", run.started].join());
  made.element.append(more);
  return made;
}

export function duePanel() {
  let jobs = [];
  return rows("Next due", "Nothing comes.", () => jobs, ({ id, job_name, words, at: due }) => [
    figure(countdown(due)), named(job_name, link("job", { id })), detail(words),
  ], {
    async read(signal) {
      jobs = (await get("/schedule/next/", {}, signal)).next.map((one) => ({ ...one, id: one.job }));
    },
    // what a job has had does not bring it forward: only those that are shown make room
    about: ({ type, job }) => /^(job|daemon)/.test(type) || jobs.some((one) => one.id === job),
  });
}

export const failuresPanel = (most) => rows("Last failures", "Nothing failed.", () => state.failures.slice(0, most), (one) => [
  badge(one.state),
  named(one.job_name, link("run", { id: one.id })),
  detail((one.count > 1 ? `${number(one.count)} times, ` : "") + (one.error || WHY[one.reason] || one.reason || "")),
  figure(at(one.at)),
], { read: (signal) => renewFailures(async () => (await get("/run/", { state: "failed,timed_out,lost,missed", limit: 30 }, signal)).runs) });

const sum = (...names) => (minute) => names.reduce((all, name) => all + (minute[name] ?? 0), 0);
const late = (part) => (minute) => minute.lateness?.[part] ?? null;
const failed = sum("failed", "timed_out", "lost");
// name, tone, and value by the minute
const RATES = [
  ["succeeded", "good", sum("succeeded")], ["failed", "bad", failed], ["missed", "warn", sum("missed")],
  ["cancelled or skipped", "idle", sum("cancelled", "skipped")],
];
const LATENESS = [["half within", "good", late("p50")], ["99 % within", "busy", late("p99")], ["the latest", "idle", late("max")]];

// A chart of the last hour.
function hour(title, options, series) {
  const drawn = chart(options);
  return {
    ...panel(title, drawn.element),
    draw() {
      const at = state.minutes.map((minute) => ms(minute.at));
      if (!at.length) return;
      drawn.update(series.map(([name, tone, of]) => ({ name, tone, points: state.minutes.map((one, n) => ({ x: at[n], y: of(one) })) })),
        { x: { from: at[0], to: at.at(-1) + 60_000 } });
    },
  };
}

export const ratesPanel = () => ({
  ...hour("The last hour, by minute", { label: "Runs by minute", kind: "bars", empty: "Nothing has run." }, RATES),
  async read(signal) {
    set({ minutes: (await get("/stats/recent/", {}, signal)).minutes });
  },
});

export const latenessPanel = () =>
  hour("How late runs started", { label: "Lateness of starts", kind: "lines", y: { seconds: true, log: 0.001 }, empty: "Nothing has started." }, LATENESS);

// Totals in large figures. `entries`: [word, member, which jobs it is about?]; `also(all)` draws what else goes by them.
export function totals(entries, also) {
  const values = entries.map(() => h("dd"));
  let stats = {};
  return {
    element: h("dl.counters", entries.map(([word, , jobs], place) =>
      h("div", h("dt", jobs ? h("a", { href: link("jobs", jobs) }, word) : word), values[place]))),
    async read(signal) {
      stats = (await get("/stats/", {}, signal)).Stats;
      set({ node: await get("/node/", {}, signal) });
    },
    about: ({ type }) => /^job|finished/.test(type),
    draw() {
      const { running, waiting } = counts();
      const all = { ...stats, running, waiting, failed: state.minutes.reduce((many, minute) => many + failed(minute), 0) };
      entries.forEach(([, member], place) => {
        put(values[place], number(all[member])).className = member === "failed" && all.failed ? "bad" : "";
      });
      also(all);
    },
  };
}
