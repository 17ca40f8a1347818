// A viewer of any number of lines: those that are in sight are in the document, and of all only so many are held.

import { button, h, keyed, number } from "../base.js";
import { painted, textOf } from "./paint.js";

const MOST = 2 ** 26; // bytes that are held, as far as that can be known: some 190,000 short lines
const SLACK = 1.02; // of it, so that seldom many go, and not always one
const HEIGHT = 18; // px of a row, as in run.css
const BESIDE = 15; // rows above and below what is in sight
const CUT = 2000; // characters of a line that are shown without wrapping
const BEFORE = 200; // characters before what was found, in a line that is longer

const sizeOf = (line) => 340 + textOf(line).length + (line.marks?.length ?? 0) * 40;

// How many of ascending numbers are at most `value`.
export function upTo(numbers, value) {
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle] > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

// `onChange()` is called when `following`, `wrap` or `dropped` may have changed; `onDraw()` after each drawing, and says
// whether nothing more is to be done. Lines are numbered from the first that there was; one that has `note` is ours.
export function viewer(signal, onChange, onDraw) {
  const rows = h("div.rows");
  const probe = h("span.probe", { "aria-hidden": "true" }, "0".repeat(20));
  const space = h("div.space", rows, probe);
  const element = h("div.lines", { tabindex: "0", role: "region", "aria-label": "Output", onscroll: scrolled }, space);
  const view = {
    element, following: true, wrap: false, dropped: 0, append, clear, follow, highlight, text, setWrap,
    line: (at) => held(at - view.dropped),
    topLine: () => view.dropped + atTop(),
    end: () => view.dropped + lines.length, // the number after that of the last line that has ended
  };

  let lines = [];
  let open = ""; // the line that is being printed; an empty one is none
  let opened = 0; // counts its changes
  let size = 0;
  let ends = []; // up to which row each line goes
  let base = 0; // the rows that had come before the first of them
  let columns = 80;
  let version = 0; // of how lines are shown
  let pattern = null;
  let current = null; // {line, from}: what was found and gone to
  let top = 0;
  let height = 0;
  let planned = false;

  const atTop = () => upTo(ends, Math.floor(top / HEIGHT) + base);
  const rowsBefore = (place) => (ends[place - 1] ?? base) - base;
  const held = (place) => lines[place] ?? open;

  // Where a text is broken into rows, as a terminal would.
  function startsOf(text) {
    const starts = [0];
    if (!view.wrap) return starts;
    let column = 0;
    for (let place = 0; place < text.length; place += 1) {
      const code = text.charCodeAt(place);
      const width = code === 9 ? 8 : code < 0x1100 ? 1 : code >> 10 === 0x37 ? 0 : 2; // the second half of one is 0
      if (column + width > columns) {
        starts.push(place);
        column = 0;
      }
      column += width;
    }
    return starts;
  }

  // Lines that have ended, and the one that is being printed.
  function append(more, now) {
    for (const line of more) {
      lines.push(line);
      size += sizeOf(line);
    }
    lay();
    open = now;
    opened += 1;
    if (size > MOST * SLACK) shed();
    plan();
  }

  function lay() {
    for (let place = ends.length; place < lines.length; place += 1) {
      ends.push((ends.at(-1) ?? base) + startsOf(textOf(lines[place])).length);
    }
  }

  function layAnew() {
    version += 1;
    base = 0;
    ends = [];
    lay();
  }

  function shed() {
    let gone = 0;
    for (; size > MOST; gone += 1) size -= sizeOf(lines[gone]);
    const goneRows = rowsBefore(gone);
    lines.splice(0, gone);
    ends.splice(0, gone);
    base += goneRows;
    view.dropped += gone;
    if (!view.following) scrollTo(top - goneRows * HEIGHT); // what is in sight stays where it is
    onChange();
  }

  function scrollTo(place) {
    element.scrollTop = place;
    top = element.scrollTop;
  }

  function draw() {
    if (signal.aborted) return;
    const all = rowsBefore(lines.length) + (textOf(open) ? startsOf(textOf(open)).length : 0);
    space.style.height = `${all * HEIGHT}px`;
    if (view.following) scrollTo(all * HEIGHT);
    const first = Math.max(0, Math.floor(top / HEIGHT) - BESIDE);
    const last = Math.min(all, Math.ceil((top + height) / HEIGHT) + BESIDE);
    const shown = [];
    let place = upTo(ends, first + base);
    let part = first - rowsBefore(place);
    for (; shown.length < last - first; [place, part] = [place + 1, 0]) {
      const text = textOf(held(place));
      const starts = startsOf(text);
      for (; part < starts.length && shown.length < last - first; part += 1) {
        const key = [version, place + view.dropped, part, place < lines.length || opened].join();
        shown.push({ key, place, from: starts[part], to: starts[part + 1] ?? text.length });
      }
    }
    rows.style.transform = `translateY(${first * HEIGHT}px)`;
    keyed(rows, shown, (one) => one.key, made);
    if (!onDraw()) plan();
  }

  function made({ place, from, to }) {
    const line = held(place);
    const { length } = textOf(line);
    const numbered = place + view.dropped;
    const found = current?.line === numbered ? current.from : -1;
    const start = view.wrap || found < CUT - BEFORE ? from : found - BEFORE;
    const end = view.wrap ? to : Math.min(length, start + CUT);
    return h("div", { class: line.note ? "row note" : "row" }, start > from && "… ", painted(line, start, end, pattern, found),
      end < to && button(`… ${number(to - end)} more characters: wrap`, () => {
        setFollowing(false);
        setWrap(true, numbered - view.dropped);
      }, "plain cut"));
  }

  function plan() {
    if (planned) return;
    planned = true;
    requestAnimationFrame(() => {
      planned = false;
      draw();
    });
  }

  function setFollowing(value) {
    view.following = value;
    onChange();
  }

  function setWrap(value, place = atTop()) {
    view.wrap = value;
    layAnew();
    draw(); // the height comes first: it bounds what can be scrolled to
    if (!view.following) scrollTo(rowsBefore(place) * HEIGHT);
    onChange();
    plan();
  }

  function scrolled() {
    const isUp = element.scrollTop < top;
    top = element.scrollTop;
    const left = element.scrollHeight - top - element.clientHeight;
    // growing does not count as scrolling away from the end, going up does, were it by little at first
    if (left < (isUp ? 1 : HEIGHT / 2)) setFollowing(true);
    else if (isUp) setFollowing(false);
    plan();
  }

  const observer = new ResizeObserver(() => {
    const before = columns;
    height = element.clientHeight;
    columns = Math.max(20, Math.floor((element.clientWidth - 2 * probe.offsetLeft) / (probe.getBoundingClientRect().width / 20)));
    if (columns !== before) layAnew();
    plan();
  });
  observer.observe(element);
  signal.addEventListener("abort", () => observer.disconnect());

  function clear() {
    [lines, open, size, view.dropped, current] = [[], "", 0, 0, null];
    layAnew();
    setFollowing(true);
    plan();
  }

  function follow() {
    setFollowing(true);
    draw();
    element.focus();
  }

  // Show what is looked for: {regex, width}, and bring into sight where it was gone to: {line, from}; null for none.
  function highlight(wanted, at) {
    [pattern, current] = [wanted, at];
    version += 1;
    plan();
    if (!at) return;
    const row = rowsBefore(at.line - view.dropped) + upTo(startsOf(textOf(view.line(at.line))), at.from) - 1;
    if (row * HEIGHT < top || (row + 1) * HEIGHT > top + height) {
      setFollowing(false);
      scrollTo(row * HEIGHT - height / 2);
    }
    draw();
    rows.querySelector(".now")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  // All that is held, without colours and without what is ours.
  function text() {
    const ended = lines.filter((line) => !line.note).map((line) => textOf(line) + (line.goesOn ? "" : "\n"));
    return ended.join("") + textOf(open);
  }

  return view;
}
