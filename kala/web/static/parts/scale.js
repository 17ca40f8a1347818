// Round marks for axes: of numbers, of durations, and of local times.

const SPANS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200]; // s
const DAY = 86_400; // s

// The least round step that is as large as `least`: 1, 2 or 5 of a power of ten; of seconds those of clocks, and days.
function roundStep(least, isSeconds) {
  if (isSeconds && least >= 1) return SPANS.find((one) => one >= least) ?? Math.ceil(least / DAY) * DAY;
  const power = 10 ** Math.floor(Math.log10(least));
  return exact([1, 2, 5, 10].find((one) => one * power >= least) * power);
}

const exact = (value) => Number(value.toPrecision(12));
const list = (length, valueOf) => Array.from({ length }, (_, place) => exact(valueOf(place)));

// From 0 to at least `most`, in about `wanted` steps: [values].
export function marks(most, wanted, { seconds, whole }) {
  const step = Math.max(roundStep(Math.max(most, 1e-6) / wanted, seconds), whole ? 1 : 0);
  return list(Math.max(1, Math.ceil(most / step - 1e-9)) + 1, (place) => place * step);
}

// From the power of ten below `low` to that above `most`: [values].
export function powers(low, most) {
  const [first, last] = [Math.floor(Math.log10(low) + 1e-9), Math.ceil(Math.log10(most) - 1e-9)];
  return list(Math.max(last - first, 1) + 1, (place) => 10 ** (first + place));
}

// Round local times from one moment to another, at most `most` of them: [{at: ms, text}].
export function times(from, to, most) {
  const step = roundStep(Math.max((to - from) / 1000 / Math.max(most, 1), 1), true);
  const found = [];
  const midnight = new Date(from).setHours(0, 0, 0, 0);
  let at = midnight + Math.floor((from - midnight) / 1000 / step) * step * 1000;
  for (; at <= to; at = step < DAY ? at + step * 1000 : new Date(at).setDate(new Date(at).getDate() + step / DAY)) {
    const moment = new Date(at);
    const clock = moment.toTimeString().slice(0, step < 60 ? 8 : 5);
    const isMidnight = /^[0:]+$/.test(clock);
    if (at >= from) found.push({ at, text: isMidnight ? moment.toLocaleDateString("en", { day: "numeric", month: "short" }) : clock });
  }
  return found;
}
