// The form of a job: all of its members in groups, with what is wrong beside each.
//
// What a member is asked for with has its `element`, in which the control with the given id stands for it, `set(value)`, of
// whatever shape it is, and `get()`; `at(rest)` may tell another control that a fault at the path `rest` below it is about.

import { button, fault, fill, get as ask, h, put, short } from "../base.js";
import { builder, optionsOf } from "./builder.js";
import { FIELDS, GROUPS, NOTIFY, given, numeric, plain, read, words, write } from "./fields.js";

const MAKERS = { jobs: picker, job: picker, schedule: builder, notify: targets };
// What is shown of a value, and what it is that is shown.
const SHAPES = {
  number: [words, (text) => numeric(text.trim())],
  several: [(value) => [value].flat().map(words).join(", "), (text) => text.trim() && text.trim().split(/[\s,]+/).map(numeric)],
  flag: [(value) => value === true, Boolean],
  choice: [words, numeric],
  pairs: pairs("=", /^([^=]*)=?(.*)/s),
  headers: pairs(": ", /^([^:]*):? *(.*)/s, true),
};
const PAUSE = 150; // ms without a key, until the server is asked
const FOUND = 8;
const NAMED = 200; // ids that may be asked about at once

const known = new Map(); // names by id, of jobs that were met
const named = (id) => short(known.get(id) ?? id, 60);

let counted = 0;

// Names with a text each, a line for each; a line that begins with a blank goes on with the text before. A name that is there
// twice has a list, as those of headers have anyway: where it may not have one, the server says so.
function pairs(mark, pattern, isListed) {
  return [
    (value) => (plain(value) ? Object.entries(value).flatMap(([name, texts]) => [texts].flat().map((text) => name + mark + words(text).replaceAll("\n", "\n "))).join("\n") : words(value)),
    (shown) => {
      const lines = shown.split(/\n(?! )/).filter((line) => line.trim()).map((line) => pattern.exec(line.replaceAll("\n ", "\n")));
      return Object.fromEntries([...Map.groupBy(lines, ([, name]) => name.trim())].map(([name, found]) => {
        const texts = found.map((one) => one[2]);
        return [name, isListed || texts.length > 1 ? texts : texts[0]];
      }));
    },
  ];
}

// One control.
function control({ kind, normal, options }, { id }) {
  const [show, get] = SHAPES[kind] ?? [words, words];
  const slot = kind === "flag" ? "checked" : "value";
  const isText = /text|pairs|headers/.test(kind);
  const input = h(options ? "select" : isText ? "textarea" : "input", {
    id, type: kind === "flag" && "checkbox", placeholder: normal, list: kind === "zone" && "zones", class: isText && "mono", autocomplete: "off",
  }, options && optionsOf(options));
  return {
    element: [input, kind === "zone" && h("datalist", { id: "zones" }, Intl.supportedValuesOf("timeZone").map((value) => h("option", { value })))],
    set(value) {
      const shown = show(options ? value ?? normal : value);
      if (input[slot] !== shown) input[slot] = shown;
    },
    get: () => get(input[slot]),
  };
}

// Targets of notifications.
function targets(field, context) {
  let rows = []; // the members of each
  const box = h("div");
  const add = button("Add notification", () => {
    append();
    rows.at(-1)[0].at().focus();
    context.changed(box);
  });

  add.id = context.id;

  function append(target) {
    const row = NOTIFY.map((part) => made(part, context));
    for (const { path, widget } of row) widget.set(target?.[path]);
    const element = h("div.panel.fields", row.map((part) => part.element), button("Remove this notification", () => {
      rows = rows.filter((other) => other !== row);
      element.remove();
      add.focus();
      context.changed(box);
    }));
    rows.push(row);
    box.append(element);
  }

  return {
    element: [box, add],
    set(value) {
      rows = [];
      fill(box);
      for (const target of [value ?? []].flat()) append(target);
    },
    get: () => rows[0] && rows.map((row) => Object.fromEntries(row.map((part) => [part.path, given(part.widget.get(), part)]))),
    at(rest) {
      const [, place, name] = rest.split(/\W+/); // as [0].url
      const row = rows[place];
      return (row?.find((part) => part.path === name) ?? row?.[0])?.at();
    },
  };
}

// Jobs, chosen by typing a part of their names: the server is asked, and what is chosen stands there by name. `kind` "jobs": a
// list of ids; "job": one. What is of another shape is shown as nothing.
function picker({ kind }, { id, signal, changed }) {
  let ids = [];
  let timer = null;
  const chips = h("ul.chips");
  const found = h("ul.found", { "aria-live": "polite" });
  const input = h("input", { id, type: "search", placeholder: "Part of its name, command or id", oninput: () => {
    fill(found);
    clearTimeout(timer);
    timer = setTimeout(search, PAUSE);
  }, onkeydown: (event) => {
    if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) found.querySelector("button")?.click();
  } });

  // The jobs that the server finds by `query`; their names are known then.
  async function find(query) {
    try {
      const jobs = Object.values((await ask("/job/", { brief: true, total: false, ...query }, signal)).jobs);
      for (const job of jobs) known.set(job.id, job.name);
      return jobs;
    } catch (error) {
      fault(error, "Search");
      return [];
    }
  }

  async function search() {
    const q = input.value.trim();
    const jobs = q && await find({ q, limit: FOUND });
    if (!q || q !== input.value.trim()) return;
    fill(found, jobs.length ? jobs.map((job) => h("li", button(named(job.id), () => {
      input.value = "";
      fill(found);
      choose(kind === "jobs" ? [...new Set([...ids, job.id])] : [job.id]);
    }), h("small", job.words))) : "No such job.");
  }

  function choose(chosen) {
    ids = chosen;
    show();
    input.focus();
    changed(input);
  }

  function show() {
    fill(chips, ids.map((one) => h("li", h("button", { "aria-label": `Remove ${named(one)}`, onclick: () => choose(ids.filter((other) => other !== one)) }, `${named(one)} ×`))));
  }

  return {
    element: [chips, input, found],
    async set(value) {
      ids = [value].flat().filter((one) => one && typeof one === "string");
      show();
      const unknown = ids.filter((one) => !known.has(one)).slice(0, NAMED);
      if (!unknown.length) return;
      await find({ id: unknown, limit: NAMED });
      show();
    },
    get: () => (kind === "jobs" && ids.length ? ids : ids[0]),
  };
}

// A member with its label, its help and what is wrong with it.
function made(field, context) {
  const id = `field-${++counted}`;
  const isGroup = field.kind === "notify";
  const widget = (MAKERS[field.kind] ?? control)(field, { ...context, id });
  const element = h(isGroup ? "fieldset" : "div", { class: "field", dataset: { path: field.path } },
    h(isGroup ? "legend" : "label", { for: !isGroup && id }, field.label), widget.element,
    h("p", { id: `about-${id}`, class: "hint" }, field.help, h("span.fault")));
  const main = element.querySelector(`#${id}`);
  main.setAttribute("aria-describedby", `about-${id}`);
  return { ...field, widget, element, at: (rest) => widget.at?.(rest) ?? main };
}

// Nothing within an element is at fault any more.
function clear(element) {
  for (const one of element.querySelectorAll(".fault")) put(one, "");
  for (const one of element.querySelectorAll("[aria-invalid]")) one.ariaInvalid = null;
}

// The form. `changed()` is called after each change of the draft by somebody who fills it in.
export function jobForm({ signal, changed }) {
  let draft = {};
  const ones = FIELDS.map((field) => made(field, {
    signal,
    faults,
    draft: () => draft,
    changed: (element) => element.dispatchEvent(new Event("input", { bubbles: true })), // by other means than an input
  }));
  const element = h("div", { oninput: edited }, GROUPS.map(({ title, fields }, place) => h("details.panel", { open: place < 3 },
    h("summary", h("h2", title)), h("div.fields", fields.map((field) => ones[FIELDS.indexOf(field)].element)))));

  function edited({ target }) {
    const one = ones.find((other) => other.element.contains(target));
    write(draft, one.path, given(one.widget.get(), one));
    clear(target.closest(".field"));
    for (const other of ones) other.widget.renew?.();
    relevant();
    changed();
  }

  // What is for the other type of job is there only when it holds something, or is at fault.
  function relevant() {
    for (const { call, path, element: box } of ones) box.hidden = call === (draft.type !== 1) && read(draft, path) === undefined && !box.querySelector("[aria-invalid]");
  }

  function show(other) {
    draft = other;
    for (const { path, widget, element: box } of ones) {
      widget.set(read(draft, path));
      if (read(draft, path) !== undefined) box.closest("details").open = true;
    }
    clear(element);
    relevant();
  }

  // Say what is wrong, by the server's paths, instead of what was said before; of `only` some members, where it is given.
  // Returns [{label, text, control}], with no control for what is about no member.
  function faults(byPath, only) {
    for (const one of ones) if (only?.includes(one.path) ?? true) clear(one.element);
    const said = Object.entries(byPath).map(([path, text]) => {
      const one = ones.find((other) => path.startsWith(other.path) && !/^\w/.test(path.slice(other.path.length)));
      if (!one) return { label: path, text };
      const below = path.slice(one.path.length);
      const rest = below.replace(".", " ");
      const found = one.at(below);
      const box = found.closest(".field");
      found.ariaInvalid = true;
      box.lastChild.lastChild.append(h("span", `${box === one.element ? rest : ""} ${text}`));
      box.closest("details").open = true;
      return { label: one.label + rest, text, control: found };
    });
    relevant();
    return said;
  }

  return { element, show, faults };
}
