// Which view is shown: the address says it (`?view=job&id=…`), and nothing else. Links are ordinary links to "?…".

import { address } from "./api.js";
import { button, fill, h } from "./dom.js";

let views = {};
let root = null;
let shown = null; // {name, controller, handle, address}
let told = () => {};
let leave = () => true;

// `table`: what loads a view, by its name: it gives open(root, params, signal), which fills its root; the signal is aborted
// when the view is left. It may return {update(params)}: `update` is called instead of opening it anew when the address
// changes within the view, and says whether it could.
export function start(element, table, onShown) {
  [root, views, told] = [element, table, onShown];
  addEventListener("popstate", () => {
    if (shown.address === location.search || leave()) show();
    else history.pushState(null, "", shown.address); // it is not left: its address comes back
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='?']");
    if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(link.getAttribute("href"));
  });
  show();
}

export const here = () => new URLSearchParams(location.search);

// The address of a view, for `href`. Lists are repeated; what is null, undefined or "" is left out.
export const link = (view, params) => address("", { view, ...params }, "");

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

async function show() {
  const params = here();
  const name = Object.hasOwn(views, params.get("view") ?? "overview") ? (params.get("view") ?? "overview") : "missing";
  if (shown?.name === name && shown.handle?.update?.(params)) {
    shown.address = location.search;
    return;
  }
  shown?.controller.abort();
  const controller = new AbortController();
  const { signal } = controller;
  const mine = shown = { name, controller, address: location.search };
  const section = h("section", { class: `view ${name}` });
  fill(root, section);
  retitle(name[0].toUpperCase() + name.slice(1), signal);
  told(name);
  let open;
  try {
    open = await views[name]();
  } catch (error) {
    // a TypeError is what there is when the browser could not get it
    if (!(error instanceof TypeError)) reportError(error);
    fill(section, h("p.fault", "This view cannot be loaded: the daemon does not answer. "), button("Try again", show));
    return;
  }
  if (signal.aborted) return;
  mine.handle = open(section, params, signal);
  scrollTo(0, 0);
}

// A better title for the view that is shown than its name, when it is known: a job's name.
export function retitle(title, signal) {
  if (!signal.aborted) document.title = `${title} · Kala`;
}
