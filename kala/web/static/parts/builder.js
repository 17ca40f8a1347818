// Schedules made by choosing, written as text and read back from it; and what they come to. A text that the choices cannot
// express is left alone.

import { at, fill, h, heads, localFull, now, send, subscribe, viewerZone } from "../base.js";
import { words } from "./fields.js";

const UNITS = { "PT#S": "seconds", "PT#M": "minutes", "PT#H": "hours", "P#D": "days", "P#W": "weeks", "P#M": "months", "P#Y": "years" };
const EVERY = /^(R(\d*))\/(\d{4}-..-..T..:..:..)(Z|[+-]..:..)?\/(?:(PT?)([\d.]+)([A-Z]))?$/;
const CRON = /^(@\w+|\S+( +\S+){4,5})$/;
const PAUSE = 250; // ms without a change, until the server is asked
const ASKED = ["schedule", "time_zone", "dst_gap", "dst_fold", "jitter"];
const HOUR = 3_600_000;

export const optionsOf = (all) => Object.entries(all).map(([value, text]) => h("option", { value }, text));

// The offset of the viewer's clock when it shows `wall`, as "+01:00".
const offsetAt = (wall) => wall && new Date(wall).toTimeString().replace(/.*GMT(...)(..).*/, "$1:$2");

// What a schedule's text stands for: {mode, start, clock, count, unit, times}. `mode`: "now", "at", "every", "cron", "free";
// `start`: what a clock shows then, `clock` whose: "job" (that of the job's zone), "mine", "utc"; `count` and `times` are
// text, `times` "" for ever; `unit`: the interval, with # for the count. Whatever `write` would not write just so is "free".
export function parse(text) {
  if (!text) return { mode: "now" };
  const [, repeat, more, start, suffix, before, count, letter] = EVERY.exec(text) ?? [];
  if (!repeat) return { mode: CRON.test(text) ? "cron" : "free" };
  const unit = `${before}#${letter}`;
  const clock = !suffix ? "job" : suffix === "Z" ? "utc" : "mine";
  const read = UNITS[unit] ? { mode: "every", start, clock, count, unit, times: more && String(BigInt(more) + 1n) } : { mode: "at", start, clock };
  return write(read) === text ? read : { mode: "free" };
}

// The text of what was chosen. What is missing is missing in it, and the server says so.
export function write({ mode, start, clock, count, unit, times }) {
  const from = start + { job: "", utc: "Z", mine: offsetAt(start) }[clock];
  if (mode === "at") return `R0/${from}/`;
  // `Rn` repeats n times after the first
  const repeat = /^[1-9]\d*$/.test(times) ? BigInt(times) - 1n : times && "?";
  return `R${repeat}/${from}/${unit.replace("#", count)}`;
}

// What a zone's clock shows at the next full hour that is not nearly there; by UTC where there is no such zone.
function soon(zone) {
  const moment = new Date(Math.ceil((now() + 60_000) / HOUR) * HOUR);
  try {
    return moment.toLocaleString("sv", { timeZone: zone || "UTC" }).replace(" ", "T"); // in Swedish that is nearly ISO 8601
  } catch {
    return soon();
  }
}

// The widget (see `form.js`), with what the server says comes of the schedule while one types. `draft()` is the job's;
// `faults(faults, members)` is told what is wrong with these members, by path.
export function builder(field, { id, signal, draft, faults, changed }) {
  let proposed = false; // the start: nobody has chosen it
  let timer = null;
  let last = null; // what was asked: the answer to anything else is of no use
  const select = (label, all) => h("select", { "aria-label": label }, optionsOf(all));
  const input = (label, more) => h("input", { "aria-label": label, ...more });
  const mode = select("Runs", { now: "once, now", at: "once, at …", every: "every …", cron: "by a cron expression", free: "by another text" });
  const count = input("Every so many", { size: 4, value: "1" });
  const unit = select("Unit", UNITS);
  const start = input("Start", { type: "datetime-local", step: 1, max: "9999-12-31T23:59:59" });
  const clock = select("By whose clock", { job: "", mine: `by your clock: ${viewerZone}`, utc: "by UTC" });
  const times = input("How many times", { size: 14, placeholder: "times: for ever" });
  const choices = h("div.choose", { oninput: choose }, mode, count, unit, start, clock, times);
  const text = h("input", {
    id, class: "mono", placeholder: "R/2030-01-01T08:00:00Z/P1D, or 30 8 * * mon-fri", oninput: take,
  });
  const coming = h("div.preview", { "aria-live": "polite" });
  unit.value = "P#D";
  subscribe((news) => news.changed.has("connection") && renew(), signal); // where it could not be told before

  const isTimed = () => ["at", "every"].includes(mode.value);

  function show() {
    for (const one of [count, unit, times]) one.hidden = mode.value !== "every";
    for (const one of [start, clock]) one.hidden = !isTimed();
  }

  function take() {
    const read = parse(text.value.trim());
    if (read.start) proposed = false;
    for (const [name, one] of Object.entries({ mode, start, clock, count, unit, times })) one.value = read[name] ?? one.value;
    show();
  }

  function choose({ target }) {
    if (target === start) proposed = false;
    if (target === mode && isTimed() && !start.value) {
      proposed = true;
      start.value = soon(draft().time_zone);
    }
    show();
    if (isTimed()) {
      // browsers leave out seconds that are none
      text.value = write({ mode: mode.value, start: start.value && start.value.padEnd(19, ":00"), clock: clock.value,
        count: count.value.trim(), unit: unit.value, times: times.value.trim() });
    } else if (mode.value === "now") text.value = "";
    else if (mode.value === "cron" && parse(text.value).mode !== "cron") text.value = "0 8 * * *";
  }

  // After each change of the draft.
  function renew() {
    const { time_zone: zone, parent_jobs: parents, schedule } = draft();
    const isChild = parents?.length > 0;
    clock.options[0].textContent = `by the job's clock: ${zone || "UTC"}`;
    const before = start.value;
    if (proposed && clock.value === "job") start.value = soon(zone);
    if (start.value !== before) return changed(choices);
    const members = Object.fromEntries(ASKED.map((name) => [name, draft()[name]]));
    const question = JSON.stringify([isChild, members]);
    if (question === last) return;
    last = question;
    clearTimeout(timer);
    if (schedule && !isChild) timer = setTimeout(ask, PAUSE, members);
    else {
      faults({}, ASKED);
      fill(coming, isChild ? "Runs after its parents, whatever its schedule says." : "Runs once, as soon as it is made.");
    }
  }

  async function ask(members) {
    const mine = last;
    try {
      const answer = await send("POST", "/schedule/preview/", { ...members, count: 10 }, { signal });
      if (mine !== last) return;
      faults({}, ASKED);
      tell(answer);
    } catch (error) {
      if (mine !== last || signal.aborted) return;
      last = null; // it may be asked again
      faults(error.fields ?? {}, ASKED);
      fill(coming, `No preview: ${error.message}.`);
    }
  }

  function tell({ next, explanation, words: said }) {
    fill(coming, h("strong", said), explanation && ` – ${explanation}`, next.length > 0 && h("div.scroll", h("table",
      heads("Next, by the job's clock", `By yours (${viewerZone})`),
      h("tbody", next.map((one) => h("tr", h("td", one.local.replace("T", " ").replace("Z", " UTC"), one.note && h("small", ` ${one.note}`)),
        h("td", at(one.at, localFull))))))));
  }

  return {
    element: [choices, text, coming],
    set(value) {
      text.value = words(value);
      take();
      renew();
    },
    get: () => text.value.trim(),
    renew,
  };
}
