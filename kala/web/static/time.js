// Times and numbers for people. Moments are RFC 3339 text, as the API has them, or milliseconds; durations are seconds.

import { h, put } from "./dom.js";

const NEVER = "0001-01-01T00:00:00Z"; // "it has not been", in members that the original has
const clock = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
const date = { year: "numeric", month: "short", day: "2-digit" };
const formatOf = (options) => new Intl.DateTimeFormat("en", options);
const sameDay = formatOf(clock);
const otherDay = formatOf({ ...date, ...clock });
const dayOnly = formatOf({ weekday: "short", day: "numeric", month: "short" });
const inUtc = formatOf({ ...date, ...clock, fractionalSecondDigits: 3, timeZone: "UTC" });
const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

let offset = 0; // the server's clock minus this machine's, in ms

export const viewerZone = sameDay.resolvedOptions().timeZone;

// Go by the server's clock: it said `moment` just now.
export function setServerTime(moment) {
  offset = Date.parse(moment) - Date.now();
}

// Milliseconds by the server's clock.
export const now = () => Date.now() + offset;

// Milliseconds; null for what has not been.
export function ms(moment) {
  if (!moment || moment === NEVER) return null;
  const value = typeof moment === "number" ? moment : Date.parse(moment);
  return Number.isNaN(value) ? null : value;
}

// In the viewer's zone: the time alone today, with the date on other days.
export function local(moment) {
  const at = ms(moment);
  if (at === null) return "–";
  return new Date(at).toDateString() === new Date(now()).toDateString() ? sameDay.format(at) : otherDay.format(at);
}

export const localFull = (moment) => (ms(moment) === null ? "–" : otherDay.format(ms(moment)));
export const utc = (moment) => (ms(moment) === null ? "–" : `${inUtc.format(ms(moment))} UTC`);
export const day = (moment) => dayOnly.format(ms(moment));

// What is said of a value; of none, a dash.
const or = (say) => (value) => (value === null || value === undefined ? "–" : say(value));

// "85 ms", "2.1 s", "3 m 04 s", "2 h 10 m", "5 d 3 h".
export const duration = or((seconds) => {
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  return seconds < 9.95 ? `${seconds.toFixed(1)} s` : longDuration(seconds);
});

function longDuration(seconds) {
  const rounded = Math.round(seconds);
  const part = (unit, most) => Math.floor(rounded / unit) % most;
  const two = (value) => String(value).padStart(2, "0");
  if (rounded < 60) return `${rounded} s`;
  if (rounded < 3600) return `${part(60, 60)} m ${two(part(1, 60))} s`;
  if (rounded < 86_400) return `${part(3600, 24)} h ${two(part(60, 60))} m`;
  return `${number(part(86_400, Infinity))} d ${part(3600, 24)} h`;
}

export const number = or((value) => whole.format(value));
export const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`; // "1 job", "2 jobs"
export const round = or((value) => compact.format(value));

export const bytes = or((count) => {
  let unit = 0;
  for (; count >= 1023.95 && unit < UNITS.length - 1; unit += 1) count /= 1024;
  return `${unit ? count.toFixed(1) : count} ${UNITS[unit]}`;
});

// A <time>: local, with UTC when hovered.
export function at(moment, show = local) {
  if (ms(moment) === null) return h("span.none", "–");
  const iso = typeof moment === "number" ? new Date(moment).toISOString() : moment;
  return h("time", { datetime: iso, title: utc(moment) }, show(moment));
}

// A <time> that counts down to a moment ("in 4 m 12 s", then "due"), or says how long something has been on. They go on by
// themselves while they are in the document.
export const countdown = (moment) => ticking(moment, "down");
export const growing = (moment) => ticking(moment, "up");

function ticking(moment, way) {
  if (ms(moment) === null) return h("span.none", "–");
  const element = at(moment);
  element.dataset.tick = way;
  tick(element);
  return element;
}

function tick(element) {
  const left = Date.parse(element.dateTime) - now();
  if (element.dataset.tick === "up") put(element, longDuration(Math.max(-left, 0) / 1000));
  else put(element, left > 0 ? `in ${longDuration(left / 1000)}` : "due");
}

// One timer for all of them, on the second.
export function startTicking() {
  setTimeout(() => {
    if (!document.hidden) for (const element of document.querySelectorAll("time[data-tick]")) tick(element);
    startTicking();
  }, 1000 - (now() % 1000));
}
