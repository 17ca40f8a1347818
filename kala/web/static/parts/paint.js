// A part of a line as elements: its colours, and what was found in it. The terminal has a dark ground in both themes, and
// every text is legible on what is behind it.

import { h } from "../base.js";
import { BOLD, DIM, INVERSE, ITALIC, RGB, STRUCK, UNDERLINE } from "./ansi.js";

const NAMES = { bold: BOLD, italic: ITALIC, under: UNDERLINE, struck: STRUCK };
const GROUND = 0x10151a; // as in run.css
const INK = 0xdfe5ea;
const LEGIBLE = 4.5; // the contrast of WCAG's AA
const BASE = [
  0x3b444d, 0xff7b72, 0x56d364, 0xe3b341, 0x79b8ff, 0xd2a8ff, 0x56d4dd, 0xc9d1d9,
  0x8b949e, 0xffa198, 0x7ee787, 0xf2cc60, 0xa5d0ff, 0xe2c5ff, 0x9ae8ef, 0xffffff,
];

export const textOf = (line) => line.text ?? line;

// Nodes of a line from one place to another. `pattern`: {regex, width} or null; `now`: where the match begins that was
// gone to, or -1.
export function painted(line, from, to, pattern, now) {
  const text = textOf(line);
  const marks = line.marks ?? [];
  const start = Math.max(0, from - (pattern?.width ?? 0));
  const found = pattern ? [...text.slice(start, to + pattern.width).matchAll(pattern.regex)] : [];
  // places where one ends or begins
  const hits = found.flatMap(({ index, 0: { length } }) => [start + index, start + index + length]);
  const parts = [];
  let style = marks.findLastIndex((mark) => mark.at <= from);
  for (let at = from, hit = 0; at < to; ) {
    while (marks[style + 1]?.at <= at) style += 1;
    while (hits[hit] <= at) hit += 1;
    const end = Math.min(to, marks[style + 1]?.at ?? to, hits[hit] ?? to);
    const piece = text.slice(at, end);
    parts.push(hit % 2 ? h("mark", { class: hits[hit - 1] === now && "now" }, piece) : styled(piece, marks[style]));
    at = end;
  }
  return parts;
}

function styled(text, style) {
  if (!style) return text;
  const names = Object.keys(NAMES).filter((name) => style.flags & NAMES[name]);
  const element = h("span", { class: names.join(" ") }, text);
  Object.assign(element.style, coloursOf(style));
  return element;
}

// What a style looks like: {color, background}, as CSS has them; background is "" where it is the terminal's own.
export function coloursOf({ ink, ground, flags }) {
  // bold is bright for the first eight, as in most terminals
  let front = valueOf(flags & BOLD && ink && ink <= 8 ? ink + 8 : ink, INK);
  let back = valueOf(ground, GROUND);
  if (flags & INVERSE) [front, back] = [back, front];
  if (flags & DIM) front = between(front, back, 0.4);
  // lighter or darker by as little as makes it legible
  const goal = contrast(0xffffff, back) > contrast(0, back) ? 0xffffff : 0;
  let legible = front;
  for (let part = 0; contrast(legible, back) < LEGIBLE; part += 1 / 16) legible = between(front, goal, part);
  return { color: css(legible), background: back === GROUND ? "" : css(back) };
}

function valueOf(colour, own) {
  if (!colour) return own;
  if (colour >= RGB) return colour - RGB;
  if (colour <= 16) return BASE[colour - 1];
  if (colour > 232) return (10 * colour - 2322) * 0x10101;
  const cube = colour - 17;
  return joined([cube / 36, (cube / 6) % 6, cube % 6].map((step) => (step < 1 ? 0 : 55 + 40 * Math.floor(step))));
}

const channels = (value) => [value >> 16, (value >> 8) & 255, value & 255];
const joined = (parts) => parts.reduce((sum, part) => (sum << 8) | part);
const css = (value) => `#${value.toString(16).padStart(6, "0")}`;

function between(one, other, part) {
  const goal = channels(other);
  return joined(channels(one).map((value, place) => Math.round(value + (goal[place] - value) * part)));
}

// As WCAG has it.
export function contrast(...colours) {
  const [dark, light] = colours.map(luminance).sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

function luminance(value) {
  const [red, green, blue] = channels(value).map((part) => (part <= 10 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
