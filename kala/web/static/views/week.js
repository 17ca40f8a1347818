// The week to come: how much there is in each hour, by the viewer's clock, and which jobs they are.

import {
  act, at, bind, button, day, every, fill, get, go, h, heads, keyed, link, localFull, ms, now, number, plural, put,
  reader, short, subscribe, unread, viewerZone,
} from "../base.js";
import { chart } from "../parts/chart.js";
import { calendar, crowded, heat, spanOf, timeOf, times } from "../parts/heat.js";
import { firstJob } from "../parts/jobacts.js";

const DAYS = 7;
const MINUTE = 60_000;
const AGAIN = 10_000; // ms between readings: the server counts what all jobs come to
const CROWDED = 10;
const PAGE = 100;
const MOST = 1000; // jobs of an hour that are read again when something changes
const MOMENTS = ["since", "cell", "minute"]; // of the address: from when on, which hour is open, and which minute of it

const iso = (moment) => moment && new Date(moment).toISOString().replace(".000", "");

// So many days later by the viewer's clock: such a day may have 23 or 25 hours.
function later(moment, days) {
  const date = new Date(moment);
  return date.setDate(date.getDate() + days);
}

// In words, where the clock is changed between hours.
function changesOfClock(hours) {
  return hours.slice(1).map((hour, place) => {
    const before = hours[place];
    if (hour.west === before.west) return null;
    const none = String((new Date(before.from).getHours() + 1) % 24).padStart(2, "0");
    const what = hour.west > before.west ? `back: the hour from ${timeOf(hour.from)} comes twice` : `forward: there is no ${none}:00`;
    return `On ${day(hour.from)} the clock goes ${what}.`;
  });
}

export function open(root, params, signal) {
  let [since, cell, minute] = [null, null, null]; // `since` null: from today
  let faulty = ""; // what of the address is no time
  let load = null; // {since, until, counts, jobs, truncated}
  let hour = null; // of the calendar, that is open
  let due = null; // {due: [], total, next} of what is open

  const narrow = matchMedia("(max-width: 50rem)");
  const said = h("p.soft");
  const [previous, today, following, whole, close] = ["Previous week", "From today", "Next week", "The whole hour", "Close"]
    .map((text) => h("a.button", { href: link("week") }, text));
  const trouble = h("p.fault", { role: "alert" });
  const notes = h("div");
  const grid = heat((one) => go(addressOf({ cell: one === hour ? null : iso(one.from) })));
  const empty = h("div.empty", { hidden: true }, firstJob("Nothing comes in these days. "), "Disabled jobs, and children of others, have no times of their own.");
  const fullest = h("ol");
  const heading = h("h2");
  const summary = h("p", { role: "status" });
  const bars = chart({ label: "Occurrences by minute", kind: "bars", empty: "Nothing comes in this hour." });
  const body = h("tbody");
  const more = button("More", () => act(more, "More jobs", () => readDue(due.next)));
  const panel = h("section.panel.hour", { hidden: true, "aria-label": "The hour that is open" }, h("div.bar", heading, whole, close), summary, bars.element, h("table", heads("First at", "Job", "Times"), body), more);
  const top = h("section.panel", { hidden: true }, h("h2", "Most crowded minutes"), fullest);

  fill(root,
    h("div.bar", h("h1", "Week"), previous, today, following),
    said, trouble, notes, grid.element, empty, h("div.below", panel, top));

  const onFault = unread(trouble, "What comes cannot be read", renew);
  const loads = reader(readLoad, { every: AGAIN, signal, onFault });
  const dues = reader(async () => hour && readDue(), { signal, onFault });

  const addressOf = (changes) => link("week", { since: iso(since), cell: iso(cell), ...changes });
  const startOfToday = () => new Date(now()).setHours(0, 0, 0, 0);

  async function readLoad() {
    const before = since;
    // a day more than is shown: one of them may have 25 hours
    const answer = await get("/schedule/load/", { since: iso(since ?? startOfToday()), days: DAYS + 1 }, signal);
    if (before !== since) return;
    load = { ...answer, since: ms(answer.since), until: later(answer.since, DAYS) };
    draw();
  }

  // Another week is read at once, the same one again only now and then.
  function renew() {
    readLoad().then(() => onFault(null), onFault);
  }

  function draw() {
    if (!load) return;
    const moment = now();
    const week = calendar(load.since, load.until, load.counts, moment);
    const sum = week.hours.reduce((total, one) => total + one.sum, 0);
    hour = week.hours.find((one) => cell !== null && one.from <= cell && cell < one.to);
    grid.update(moment, week, narrow.matches, hour);
    grid.element.hidden = !sum;
    empty.hidden = sum > 0;
    put(said, `${times(sum)} of ${plural(load.jobs, "job")} in the week from ${localFull(load.since)}, by the clock of ${viewerZone}.`);
    fill(notes, [faulty && `In the address ${faulty} is no time: it is left out.`, ...changesOfClock(week.hours),
      load.truncated && "There is more than could be counted: some jobs are left out."].map((text) => text && h("p.warn", text)));
    previous.hidden = load.since <= startOfToday();
    previous.href = addressOf({ since: iso(Math.max(later(load.since, -DAYS), startOfToday())), cell: null });
    following.href = addressOf({ since: iso(load.until), cell: null });
    today.hidden = since === null;
    const minutes = crowded(load.since, load.until, load.counts, moment, CROWDED).map((one) => ({ ...one, href: addressOf({ cell: iso(one.at), minute: iso(one.at) }) }));
    top.hidden = !minutes.length;
    keyed(fullest, minutes, (one) => one.href + one.count, (one) => h("li", h("a", { href: one.href }, `${day(one.at)}, ${timeOf(one.at)}`), h("span", number(one.count))));
    drawHour();
    if (hour) dues.want();
  }

  // What is open: an hour, or a minute of it.
  function opened() {
    const sum = hour.counts[(minute - hour.from) / MINUTE];
    return sum === undefined ? hour : { from: minute, to: minute + MINUTE, sum };
  }

  function drawHour() {
    panel.hidden = !hour;
    if (!hour) return;
    const span = opened();
    const jobs = due.total ? ` of ${plural(due.total, "job")}` : "";
    put(heading, spanOf(hour));
    put(summary, times(span.sum) + jobs + (span === hour ? "." : ` at ${timeOf(minute)}.`));
    whole.hidden = span === hour;
    whole.href = addressOf({});
    close.href = addressOf({ cell: null });
    bars.update([{ name: "occurrences", tone: "busy", points: hour.counts.map((count, place) => {
      const from = hour.from + place * MINUTE;
      return { x: from, y: count, text: `${timeOf(from)}: ${times(count)}`, href: count && addressOf({ minute: iso(from) }) };
    }) }], { x: hour });
    more.hidden = !due.next;
    keyed(body, due.due, (one) => JSON.stringify(one), (one) => h("tr", h("td", at(one.at)),
      h("td", h("a", { href: link("job", { id: one.job }) }, short(one.job_name, 200))), h("td.number", number(one.count))));
  }

  // As many as are shown, or those `after` them.
  async function readDue(after) {
    const [before, shown] = [due, due.due];
    const { from, to } = opened();
    const answer = await get("/schedule/due/", {
      since: iso(from), until: iso(to), limit: after ? PAGE : Math.min(Math.max(shown.length, PAGE), MOST), after,
    }, signal);
    if (before !== due) return; // another one was opened meanwhile
    if (shown !== due.due) return readDue(after && due.next); // others are shown by now
    Object.assign(due, answer, after && { due: [...shown, ...answer.due] });
    drawHour();
  }

  function update(given) {
    const before = since;
    [since, cell, minute] = MOMENTS.map((name) => ms(given.get(name)));
    faulty = MOMENTS.filter((name) => given.has(name) && ms(given.get(name)) === null).join(" and ");
    due = { due: [] };
    if (before === since) draw();
    else renew();
    return true;
  }

  every(MINUTE, draw, signal); // what has passed comes no more
  narrow.addEventListener("change", draw, { signal });
  bind([["[", previous], ["]", following]].map(([keys, one]) => [keys, one.textContent, () => one.hidden || one.click()]), signal);
  subscribe(({ events, reload }) => {
    if (reload || events.some(({ type }) => type === "job.saved" || type === "job.deleted")) loads.want();
  }, signal);
  update(params);
  loads.want();
  return { update };
}
