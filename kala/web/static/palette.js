// Jump to a job, or do something, by typing a part of its name; and the list of keys.

import { bindings, button, dialog, fault, fill, get, go, h, keyed, link, short } from "./base.js";

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
      type: "search", role: "combobox", "aria-label": "A job or an action", "aria-expanded": "true",
      "aria-controls": "found", autocomplete: "off",
      placeholder: "A job by its name, id, command or owner, or an action", oninput: search, onkeydown: key,
    });
    const list = h("ul", { id: "found", role: "listbox", class: "found", "aria-label": "Found" });
    const none = h("p.none", { role: "status" });

    function search() {
      clearTimeout(timer);
      chosen = 0;
      draw();
      timer = setTimeout(ask, PAUSE);
    }

    async function ask() {
      const mine = ++question;
      try {
        const answer = await get("/job/", { brief: true, total: false, q: input.value.trim(), limit: JOBS }, ended.signal);
        if (mine !== question) return;
        jobs = Object.values(answer.jobs);
        draw();
      } catch (error) {
        fault(error, "Search");
      }
    }

    function draw() {
      const wanted = input.value.trim().toLowerCase();
      const actions = bindings().filter((one) => one.label.toLowerCase().includes(wanted));
      shown = [
        // those of the question before, until the server has answered this one
        ...jobs.filter((one) => holds(one, wanted)).map(({ id, name, words }) => ({ label: name, keys: words, run: () => go(link("job", { id })), id })),
        ...actions,
      ];
      chosen = Math.min(chosen, Math.max(shown.length - 1, 0));
      keyed(list, shown, (one) => one.id ?? one.label, option, (element, one) => {
        const place = shown.indexOf(one);
        element.id = `found-${place}`;
        element.ariaSelected = place === chosen;
      });
      fill(none, shown.length ? null : "Nothing has that in its name.");
      input.setAttribute("aria-activedescendant", shown.length ? `found-${chosen}` : "");
    }

    function option(one) {
      return h("li", { role: "option", onclick: () => close(one) }, h("span", short(one.label)), h("small", short(one.keys, 60)));
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
        close(shown[chosen]);
      } else if (event.key === "Escape") {
        event.preventDefault(); // which would empty the field first
        close();
      }
    }

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
  const listed = bindings().filter((one) => one.keys);
  const groups = Map.groupBy(listed, (one) => one.group);
  dialog("Keys", (close) => [
    ...[...groups].map(([name, entries]) => [
      h("h3", name),
      h("dl.keys", entries.map((one) => h("div", h("dt", one.keys.split(" ").map((part) => h("kbd", part))), h("dd", one.label)))),
    ]),
    h("div.choices", button("Close", () => close())),
  ]);
}
