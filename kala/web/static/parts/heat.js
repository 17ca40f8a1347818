// A calendar of counts: days × hours by the viewer's clock, and what is in it made of counts by minute.

import { day, fill, h, keyed, number, plural, round } from "../base.js";

const MINUTE = 60_000;
const QUARTER = 15 * MINUTE; // clocks change at quarters of an hour
const LEVELS = [1, 2, 3, 4, 5];
const CROWD = 5; // occurrences in a minute, at least, to be marked
const FAR = 3; // times as many as in the other minutes of its hour
const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

// The calendar of counts by minute from `since` to `until`, of what is from `now` on: {days: [{at, hours: Map}], hours, columns,
// least, most (in an hour)}. `hours` has by its column what comes in each hour: {from, to, west, counts, sum, peak: {at, count}
// or null: the minute that is far above the others}. A column is twice the hour, and one more for an hour that comes again
// when the clock goes back. An hour that is cut by the span, or by a change of half an hour, is shorter.
export function calendar(since, until, counts, now) {
  const days = [];
  const all = [];
  const floor = now - (now % MINUTE);
  for (let from = since, to; from < until; from = to) {
    to = Math.min(until, from - (from % QUARTER) + QUARTER);
    const date = new Date(from);
    const [name, key, west] = [date.toDateString(), date.getHours() * 2, date.getTimezoneOffset()];
    const id = [name, key, west].join();
    if (days.at(-1)?.name !== name) days.push({ name, at: from, hours: new Map() });
    if (all.at(-1)?.id !== id) {
      const { hours } = days.at(-1);
      all.push({ id, from, west, counts: [] });
      hours.set(hours.has(key) ? key + 1 : key, all.at(-1));
    }
    const hour = all.at(-1);
    hour.to = to;
    for (let at = from; at < to; at += MINUTE) hour.counts.push(at < floor ? 0 : counts[(at - since) / MINUTE]);
  }
  for (const hour of all) {
    hour.sum = hour.counts.reduce((sum, count) => sum + count, 0);
    hour.peak = peakOf(hour);
  }
  const columns = [...Array(48).keys()].filter((key) => key % 2 === 0 || days.some((one) => one.hours.has(key)));
  const most = Math.max(...all.map((hour) => hour.sum));
  // what is cut short would make all others look alike
  const whole = all.filter((hour) => hour.sum && hour.from >= floor && hour.counts.length === 60);
  return { days, hours: all, columns, least: Math.min(most, ...whole.map((hour) => hour.sum)), most };
}

function peakOf({ from, counts, sum }) {
  const count = Math.max(...counts);
  const isFar = count >= CROWD && count > FAR * ((sum - count) / (counts.length - 1) + 1);
  return isFar ? { at: from + counts.indexOf(count) * MINUTE, count } : null;
}

// The most crowded minutes from `now` on: [{at, count}], the fullest first.
export function crowded(since, until, counts, now, wanted) {
  return counts.map((count, place) => ({ at: since + place * MINUTE, count }))
    .filter(({ at, count }) => count > 1 && at > now - MINUTE && at < until)
    .sort((a, b) => b.count - a.count || a.at - b.at).slice(0, wanted);
}

// The most that is in each level, in even ratios from `least` to `most`.
export const levelsOf = ({ least, most }) => LEVELS.map((level) => Math.round(least * (most / least) ** (level / LEVELS.length)));

export const timeOf = (moment) => clock.format(moment);
export const spanOf = ({ from, to }) => `${day(from)}, ${timeOf(from)}–${timeOf(to)}`;
export const times = (count) => plural(count, "occurrence");

// By a key: how far it goes, down and to the right.
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, 1], End: [0, -1] };

// The grid: days are its rows, or its columns where there is little room (`isTall`). `open(hour)` is called for the hour
// that is clicked on, or entered; `opened` is that which is open.
export function heat(open) {
  const table = h("table", { role: "grid", class: "heat", "aria-label": "What comes, by day and hour", onkeydown: press, onclick: (event) => choose(event.target.closest("td")) });
  const legend = h("p.legend", "Few ", LEVELS.map((level) => h("i", { dataset: { level } })), " to many in an hour. ", h("i"), " A minute far above the others of its hour.");
  let current = null; // when the hour begins that Tab comes to

  function update(now, { days, columns, ...bounds }, isTall, opened) {
    const levels = levelsOf(bounds);
    // texts are headings; undefined is where there is no hour
    let lines = [
      ["Day", ...columns.map((column) => `${String(column >> 1).padStart(2, "0")}${column % 2 ? " again" : ""}`)],
      ...days.map(({ at, hours }) => [day(at), ...columns.map((column) => hours.get(column))]),
    ];
    if (isTall) lines = lines[0].map((_, place) => lines.map((line) => line[place]));
    keyed(table, lines, (line) => line[0], () => h("tr"), (row, line) => keyed(row,
      line.map((content, place) => ({ content, key: content?.from ?? content ?? place })), (one) => one.key,
      ({ content }) => {
        if (typeof content === "string") return h("th", { role: line === lines[0] ? "columnheader" : "rowheader" }, content);
        return h("td", { role: "gridcell", class: !content && "out" }, !content && h("span.sr-only", "no such hour"));
      }, (cell, { content }) => content?.from && paint(cell, content, levels, now, opened)));
    const cells = [...table.querySelectorAll("td:not(.out)")];
    const moment = current ?? opened?.from ?? now;
    stopAt(cells.find(({ hour }) => hour.from <= moment && moment < hour.to) ?? cells[0]);
  }

  function paint(cell, hour, levels, now, opened) {
    const isPast = hour.to <= now;
    const peak = hour.peak && h("span.peak");
    if (peak) peak.style.left = `${((hour.peak.at - hour.from) / (hour.to - hour.from)) * 100}%`;
    cell.hour = hour;
    cell.dataset.level = hour.sum && levels.findIndex((most) => hour.sum <= most) + 1;
    cell.className = isPast ? "past" : hour.from <= now ? "on" : "";
    cell.ariaSelected = hour === opened;
    const crowd = peak ? `, ${number(hour.peak.count)} of them at ${timeOf(hour.peak.at)}` : "";
    cell.title = cell.ariaLabel = `${spanOf(hour)}: ${isPast ? "past" : times(hour.sum)}${crowd}`;
    fill(cell, hour.sum ? round(hour.sum) : !isPast && "·", peak);
  }

  function press(event) {
    const { key, ctrlKey, target } = event;
    const step = STEPS[key];
    if (key === "Enter" || key === " ") choose(target);
    else if (step && !event.altKey && !event.metaKey) {
      const row = target.parentElement;
      let [y, x] = [row.rowIndex, target.cellIndex];
      if (key === "Home") [y, x] = [ctrlKey ? 1 : y, 0];
      if (key === "End") [y, x] = [ctrlKey ? table.rows.length - 1 : y, row.cells.length];
      let next;
      do {
        y += step[0];
        x += step[1];
        next = table.rows[y]?.cells[x];
      } while (next?.className === "out"); // over hours that are not there
      if (next?.hour) focus(next);
    } else return;
    event.preventDefault();
  }

  function stopAt(stop) {
    for (const cell of table.querySelectorAll("td")) cell.tabIndex = cell === stop ? 0 : -1;
  }

  function focus(cell) {
    current = cell.hour.from;
    stopAt(cell);
    cell.focus();
  }

  function choose(cell) {
    if (!cell?.hour) return;
    focus(cell);
    open(cell.hour);
  }

  return { element: h("div", h("div.scroll", table), legend), update };
}
