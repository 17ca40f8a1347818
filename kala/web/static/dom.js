// Elements. Text is only ever set as text: nothing in this page parses markup, and its policy (Trusted Types) forbids it.

const SVG = "http://www.w3.org/2000/svg";

// An element: h("button.plain", {onclick: f, "aria-label": "…", dataset: {id}}, children…), its classes after dots. What
// follows is children when it is no plain object. Properties that are null, undefined or false are left out; functions are
// listeners, by their names without "on"; `value`, `checked`, `disabled` and the like are properties. Children are nodes,
// text, numbers, and lists of them; null and false are none. A button does nothing by itself.
export function h(name, ...given) {
  const [tag, ...classes] = name.split(".");
  const element = made(document.createElement(tag), classes, given);
  if (tag === "button" && !element.hasAttribute("type")) element.type = "button";
  return element;
}

// The same within an SVG: s("rect.bar", {x: 1}).
export function s(name, ...given) {
  const [tag, ...classes] = name.split(".");
  return made(document.createElementNS(SVG, tag), classes, given);
}

// A button that only does something.
export const button = (text, onclick, look) => h("button", { class: look, onclick }, text);

// The head of a table: a text, or nodes, for each column.
export const heads = (...columns) => h("thead", h("tr", columns.map((one) => h("th", { scope: "col" }, one))));

const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "open"]);

function made(element, classes, given) {
  const properties = given[0]?.constructor === Object ? given.shift() : {};
  element.classList.add(...classes);
  for (const [name, value] of Object.entries(properties)) {
    if (value == null || (value === false && !PROPERTIES.has(name))) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (PROPERTIES.has(name) && name in element) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...flat(given));
  return element;
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child != null && child !== false);
}

// Put these children in place of those that are there.
export function fill(element, ...children) {
  element.replaceChildren(...flat(children));
  return element;
}

// The same, where what it shows has changed, as its `sign` says: a link in it stays focused.
export function refill(element, sign, make) {
  if (element.sign !== sign) fill(element, make());
  element.sign = sign;
}

// Set a text, only where it is another: setting the same again makes the browser lay out again.
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
  return element;
}

// Make the children of `parent` one for each item, in order, and keep those that are there: they stay focused, selected
// and scrolled. `make(item)` gives an element, `update(element, item)` brings one up to date (it is called on new ones as
// well). Keys are unique. What else is in `parent` goes.
export function keyed(parent, items, keyOf, make, update) {
  const before = parent.keyedChildren ?? new Map();
  const after = parent.keyedChildren = new Map();
  for (const item of items) after.set(keyOf(item), before.get(keyOf(item)) ?? make(item));
  // what goes, goes first: what stays need not be moved then, by which it would lose the focus
  const stays = new Set(after.values());
  for (const child of [...parent.childNodes]) if (!stays.has(child)) child.remove();
  let place = parent.firstChild;
  for (const item of items) {
    const element = after.get(keyOf(item));
    update?.(element, item);
    if (element === place) place = place.nextSibling;
    else parent.insertBefore(element, place);
  }
}

// At most so many characters of a text that may have a million, for places where there is room for a line.
export function short(text, most = 120) {
  return text.length > most ? `${text.slice(0, most)}…` : text;
}
