// Looking for a text in all lines of a viewer, a little in each frame, and in those that come as they come.

import { number } from "../base.js";
import { upTo } from "./lines.js";
import { textOf } from "./paint.js";

const OPEN_MOST = 65_536; // characters of a line that is still being printed, which is looked through in each frame
const BUDGET = 8; // ms of a frame
const MOST = 1_000_000; // matches
const LINE = 2 ** 21; // a match is its line's number times this, and where it begins in it

// `look()` goes on for a while, and says whether it has got to the end; `tell(text)` says how many there are.
export function finder(viewer, tell) {
  let pattern = null;
  let next = 0; // the line to be looked through next
  let matches = []; // in order
  let settled = 0; // how many of them are in lines that have ended
  let chosen = -1;
  let jumps = false; // go to the first, as soon as it is known

  function set(text) {
    pattern = text ? { regex: new RegExp(text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "giu"), width: text.length } : null;
    jumps = true;
    restart();
  }

  // The lines are others.
  function restart() {
    [next, matches, settled, chosen] = [0, [], 0, -1];
    viewer.highlight(pattern, null);
    said();
  }

  function look(budget = BUDGET) {
    if (!pattern) return true;
    const until = performance.now() + budget;
    const lost = upTo(matches, viewer.dropped * LINE - 1);
    matches = matches.slice(lost, settled);
    chosen = Math.max(-1, chosen - lost);
    next = Math.max(next, viewer.dropped);
    for (; next < viewer.end() && matches.length < MOST && performance.now() < until; next += 1) add(next);
    settled = matches.length;
    if (next === viewer.end() && textOf(viewer.line(next)).length <= OPEN_MOST) add(next);
    const isAll = next === viewer.end() || settled >= MOST;
    if (isAll && jumps) {
      jumps = false;
      go(1);
    }
    said();
    return isAll;
  }

  function add(place) {
    const line = viewer.line(place);
    if (!line.note) for (const match of textOf(line).matchAll(pattern.regex)) matches.push(place * LINE + match.index);
  }

  // To the next one, or back; from what is in sight where none was gone to.
  function go(step) {
    look(0);
    const many = matches.length;
    if (!many) return;
    if (chosen < 0) chosen = upTo(matches, viewer.topLine() * LINE - 1) - (step > 0 ? 1 : 0);
    chosen = (chosen + step + many) % many;
    viewer.highlight(pattern, { line: Math.floor(matches[chosen] / LINE), from: matches[chosen] % LINE });
    said();
  }

  function said() {
    const isAll = next === viewer.end();
    const many = number(matches.length) + (isAll ? "" : "+");
    if (!pattern) tell("");
    else if (!matches.length) tell(isAll ? "none" : "…");
    else tell(chosen < 0 ? `${many} found` : `${number(chosen + 1)} of ${many}`);
  }

  return { set, look, go, restart };
}
