// Which view is shown: the address says it (`?view=job&id=…`), and nothing else. Links are ordinary links to "?…".

import { fill, h } from "./dom.js";

let views = {};
let root = null;
let shown = null; // {name, controller, handle}
let told = () => {};
let leave = () => true;

// `table`: a view by its name: {title(params), open(root, params, signal)}. `open` fills its root; the signal is aborted
// when the view is left. It may return {update(params), title()}: `update` is called instead of opening it anew when the
// address changes within the view, and says whether it could.
export function start(element, table, onShown) {
  [root, views, told] = [element, table, onShown];
  addEventListener("popstate", show);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='?']");
    if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(link.getAttribute("href"));
  });
  show();
}

export const here = () => new URLSearchParams(location.search);

// The address of a view, for `href`. What is null, undefined or "" is left out.
export function link(view, params = {}) {
  const search = new URLSearchParams({ view });
  for (const [name, value] of Object.entries(params)) if (value !== null && value !== undefined && value !== "") search.set(name, value);
  return `?${search}`;
}

// Go to an address that `link` made. `replace`: without an entry of its own in the browser's history, as for a filter that
// is being typed.
export function go(address, { replace = false } = {}) {
  if (!replace && address !== location.search && !leave()) return;
  if (replace) history.replaceState(null, "", address);
  else if (address !== location.search) history.pushState(null, "", address);
  show();
}

// Ask before the view is left by a link: `may()` says whether it may be.
export function guard(may, signal) {
  leave = may;
  signal.addEventListener("abort", () => {
    leave = () => true;
  });
}

export function show() {
  const params = here();
  const name = Object.hasOwn(views, params.get("view") ?? "overview") ? (params.get("view") ?? "overview") : "missing";
  if (shown?.name === name && shown.handle?.update?.(params)) return named(name, params);
  shown?.controller.abort();
  const controller = new AbortController();
  shown = { name, controller, handle: null };
  const section = h("section", { class: `view ${name}` });
  fill(root, section);
  shown.handle = views[name].open(section, params, controller.signal) ?? null;
  scrollTo(0, 0);
  named(name, params);
}

function named(name, params) {
  document.title = `${views[name].title(params)} · Kala`;
  told(name);
}

// A better title for the view that is shown, when it is known: a job's name.
export function retitle(title, signal) {
  if (!signal.aborted) document.title = `${title} · Kala`;
}
