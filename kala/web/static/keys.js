// Keys: one letter, or two after one another ("g j"). Nothing happens while somebody types, or in a dialog.

const WAIT = 1200; // ms for the second of two
const bound = new Set(); // {keys, label, group, run}
let first = "";
let timer = null;

// Bind keys until the signal is aborted: [keys, label, run(), group]. They are listed by `?` and found in the palette by their
// label. `keys` may be "" for what is to be found in the palette alone.
export function bind(entries, signal) {
  const given = entries.map(([keys, label, run, group = "Here"]) => ({ keys, label, run, group }));
  for (const one of given) bound.add(one);
  signal.addEventListener("abort", () => given.forEach((one) => bound.delete(one)));
}

export const bindings = () => [...bound];

function typing(target) {
  return target.closest?.("input, textarea, select, [contenteditable]") && !target.matches("input[type=checkbox], input[type=radio]");
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (typing(event.target) || document.querySelector("dialog[open]")) return;
  const keys = first ? `${first} ${event.key}` : event.key;
  clearTimeout(timer);
  first = "";
  // the latest binding counts: a view's before the page's
  const found = [...bound].findLast((one) => one.keys === keys);
  if (found) {
    event.preventDefault();
    found.run();
  } else if ([...bound].some((one) => one.keys.startsWith(`${event.key} `))) {
    first = event.key;
    timer = setTimeout(() => {
      first = "";
    }, WAIT);
  }
});
