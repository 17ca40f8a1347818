// Elements. Text is only ever set as text: nothing in this page parses markup, and its policy (Trusted Types) forbids it.

const SVG = "http://www.w3.org/2000/svg";

// An element: h("button", {class: "plain", onclick: f, "aria-label": "…", dataset: {id}}, children…). Properties that are
// null, undefined or false are left out; functions are listeners, by their names without "on"; `value`, `checked`,
// `disabled` and the like are properties. Children are nodes, text, numbers, and lists of them; null and false are none.
export function h(name, properties, ...children) {
  return made(document.createElement(name), properties, children);
}

// The same within an SVG: s("rect", {x: 1, class: "bar"}).
export function s(name, attributes, ...children) {
  return made(document.createElementNS(SVG, name), attributes, children);
}

const PROPERTIES = new Set(["value", "checked", "disabled", "indeterminate", "hidden", "open", "selected", "textContent"]);

function made(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || (value === false && !PROPERTIES.has(name))) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (PROPERTIES.has(name) && name in element) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...flat(children));
  return element;
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

// Put these children in place of those that are there.
export function fill(element, ...children) {
  element.replaceChildren(...flat(children));
  return element;
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
  const after = new Map();
  let place = parent.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    const element = before.get(key) ?? make(item);
    before.delete(key);
    update?.(element, item);
    if (element === place) place = place.nextSibling;
    else parent.insertBefore(element, place);
    after.set(key, element);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
  parent.keyedChildren = after;
}

// At most so many characters of a text that may have a million, for places where there is room for a line.
export function short(text, most = 120) {
  return text.length > most ? `${text.slice(0, most)}…` : text;
}
