// Times and numbers for people. Moments are RFC 3339 text, as the API has them, or milliseconds; durations are seconds.

const NEVER = "0001-01-01T00:00:00Z"; // "it has not been", in members that the original has
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const sameDay = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const otherDay = new Intl.DateTimeFormat("en", {
  year: "numeric", month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const dayOnly = new Intl.DateTimeFormat("en", { weekday: "short", day: "numeric", month: "short" });
const inUtc = new Intl.DateTimeFormat("en", {
  timeZone: "UTC", year: "numeric", month: "short", day: "2-digit",
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23",
});
const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

let offset = 0; // the server's clock minus this machine's, in ms

export const viewerZone = zone;

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

// "85 ms", "2.1 s", "3 m 04 s", "2 h 10 m", "5 d 3 h".
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  return longDuration(seconds);
}

function longDuration(seconds) {
  const rounded = Math.round(seconds);
  if (rounded < 60) return `${rounded} s`;
  if (rounded < 3600) return `${Math.floor(rounded / 60)} m ${String(rounded % 60).padStart(2, "0")} s`;
  const minutes = Math.floor(rounded / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} m`;
  return `${whole.format(Math.floor(minutes / 1440))} d ${Math.floor((minutes % 1440) / 60)} h`;
}

export const number = (value) => (value === null || value === undefined ? "–" : whole.format(value));
export const round = (value) => (value === null || value === undefined ? "–" : compact.format(value));

export function bytes(count) {
  if (count === null || count === undefined) return "–";
  if (count < 1024) return `${count} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = count / 1024;
  let unit = 0;
  while (value >= 1023.95 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(1)} ${units[unit]}`;
}

import { h, put } from "./dom.js";

// A <time>: local, with UTC when hovered.
export function at(moment, show = local) {
  if (ms(moment) === null) return h("span", { class: "none" }, "–");
  const iso = typeof moment === "number" ? new Date(moment).toISOString() : moment;
  return h("time", { datetime: iso, title: utc(moment) }, show(moment));
}

// A <time> that counts down to a moment ("in 4 m 12 s", then "due"), or says how long something has been on. They go on by
// themselves while they are in the document.
export const countdown = (moment) => ticking(moment, "down");
export const growing = (moment) => ticking(moment, "up");

function ticking(moment, way) {
  if (ms(moment) === null) return h("span", { class: "none" }, "–");
  const element = at(moment);
  element.dataset.tick = way;
  tick(element);
  return element;
}

// Make a ticking element tick to another moment.
export function retime(element, moment) {
  if (element.dateTime !== moment) {
    element.dateTime = moment;
    element.title = utc(moment);
  }
  tick(element);
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
