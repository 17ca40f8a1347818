// Jump to a job, or do something, by typing a part of its name; and the list of keys.

import { get } from "./api.js";
import { dialog } from "./dialog.js";
import { fill, h, keyed, short } from "./dom.js";
import { bindings } from "./keys.js";
import { fault } from "./notice.js";
import { go, link } from "./router.js";

const PAUSE = 120; // ms without a key, until the server is asked
const JOBS = 8;

const holds = (job, wanted) => [job.name, job.id, job.command, job.owner].some((text) => text.toLowerCase().includes(wanted));

export function openPalette() {
  const ended = new AbortController();
  let chosen = 0;
  let shown = [];
  let jobs = [];
  let timer = null;
  let question = 0;

  dialog("Jump to a job or an action", (close) => {
    const input = h("input", {
      type: "search", autofocus: true, role: "combobox", "aria-label": "A job or an action", "aria-expanded": "true",
      "aria-controls": "found", "aria-autocomplete": "list", autocomplete: "off", spellcheck: "false",
      placeholder: "Part of a job's name, id, command or owner, or of an action", oninput: search, onkeydown: key,
    });
    const list = h("ul", { id: "found", role: "listbox", class: "found", "aria-label": "Found" });
    const none = h("p", { class: "none", role: "status" });

    function search() {
      clearTimeout(timer);
      chosen = 0;
      draw();
      timer = setTimeout(ask, PAUSE);
    }

    async function ask() {
      const mine = ++question;
      try {
        const answer = await get("/job/", { brief: true, q: input.value.trim(), limit: JOBS }, ended.signal);
        if (mine !== question) return;
        jobs = Object.values(answer.jobs);
        draw();
      } catch (error) {
        fault(error, "Search");
      }
    }

    function draw() {
      const wanted = input.value.trim().toLowerCase();
      const actions = bindings().filter((one) => one.list !== false && one.label.toLowerCase().includes(wanted));
      shown = [
        // those of the question before, until the server has answered this one
        ...jobs.filter((one) => holds(one, wanted)).map((one) => ({ key: `job ${one.id}`, text: one.name, hint: one.words, run: () => go(link("job", { id: one.id })) })),
        ...actions.map((one) => ({ key: `do ${one.label}`, text: one.label, hint: one.keys, run: one.run })),
      ];
      chosen = Math.min(chosen, Math.max(shown.length - 1, 0));
      keyed(list, shown, (one) => one.key, option, (element, one) => {
        const place = shown.indexOf(one);
        element.id = `found-${place}`;
        element.setAttribute("aria-selected", String(place === chosen));
      });
      fill(none, shown.length ? null : "Nothing has that in its name.");
      if (shown.length) input.setAttribute("aria-activedescendant", `found-${chosen}`);
      else input.removeAttribute("aria-activedescendant");
    }

    function option(one) {
      return h("li", { role: "option", onclick: () => choose(one) }, h("span", {}, short(one.text)), h("small", {}, short(one.hint, 60)));
    }

    function key(event) {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step && shown.length) {
        event.preventDefault();
        chosen = (chosen + step + shown.length) % shown.length;
        draw();
        list.children[chosen].scrollIntoView({ block: "nearest" });
      } else if (event.key === "Enter" && shown[chosen]) {
        event.preventDefault();
        choose(shown[chosen]);
      } else if (event.key === "Escape") {
        event.preventDefault(); // which would empty the field first
        close();
      }
    }

    const choose = (one) => close(one);
    draw();
    ask();
    return [input, list, none];
  }).then((one) => {
    clearTimeout(timer);
    ended.abort();
    one?.run();
  });
}

export function openKeys() {
  const listed = bindings().filter((one) => one.keys && one.list !== false);
  const groups = Map.groupBy(listed, (one) => one.group ?? "Here");
  dialog("Keys", (close) => [
    ...[...groups].map(([name, entries]) => [
      h("h3", {}, name),
      h("dl", { class: "keys" }, entries.map((one) => h("div", {}, h("dt", {}, one.keys.split(" ").map((part) => h("kbd", {}, part))), h("dd", {}, one.label)))),
    ]),
    h("p", { class: "hint" }, "Tab and Enter reach everything; Escape closes what is open."),
    h("div", { class: "choices" }, h("button", { type: "button", autofocus: true, onclick: () => close() }, "Close")),
  ]);
}
