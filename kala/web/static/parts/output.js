// What a run prints, as it comes: the lines, and above them what can be done with them.

import { act, address, bind, button, h, number, put, runPath, say } from "../base.js";
import { finder } from "./finder.js";
import { follow } from "./follow.js";
import { viewer } from "./lines.js";

// `onRun(run)`: it was read again. `show(run, attempt)` shows an attempt, `show(null, 0, why)` why there is none; `wake()`
// when there may be more of it.
export function output({ signal, onRun }) {
  let controller = new AbortController(); // of what is shown
  let waker = { wake() {} };

  const lines = viewer(signal, changed, () => found.look());
  const found = finder(lines, (text) => put(counts, text));
  const search = h("input", {
    type: "search", "aria-label": "Find in the output", placeholder: "Find ( / )",
    oninput: () => found.set(search.value),
    onkeydown: ({ key, shiftKey }) => key === "Enter" && found.go(shiftKey ? -1 : 1),
  });
  const counts = h("span.counts.number", { role: "status" });
  const step = (title, sign, by) => h("button", { "aria-label": title, title, onclick: () => found.go(by) }, sign);
  const turn = () => lines.setWrap(!lines.wrap);
  const wrap = button("Wrap", turn);
  const jump = button("↓ Follow", lines.follow, "primary jump");
  const copying = button("Copy", () => act(copying, "Copy", async () => {
    const text = lines.text();
    await navigator.clipboard.writeText(text);
    say(`Copied ${number(text.length)} characters.`);
  }));
  copying.hidden = !navigator.clipboard; // browsers have none without TLS
  const download = h("a.button", "Download");
  const title = h("h2");
  const status = h("span.soft.status", { role: "status" });
  const dropped = h("p.hint");
  const empty = h("p");
  const element = h("section.output", { "aria-label": "What it printed" },
    h("div.bar", title, status, search, counts, step("The match before", "↑", -1), step("The next match", "↓", 1), wrap, copying, download),
    dropped, h("div.screen", lines.element, empty, jump));

  function changed() {
    jump.hidden = lines.following;
    wrap.ariaPressed = lines.wrap;
    put(dropped, lines.dropped ? `The oldest ${number(lines.dropped)} lines are left out here: they are too many for a page.` : "");
  }

  function show(run, attempt, why = "") {
    controller.abort();
    controller = new AbortController();
    lines.clear();
    found.restart();
    put(title, run?.attempts.length > 1 ? `Output of attempt ${attempt}` : "Output");
    put(status, "");
    put(empty, why);
    download.hidden = !run;
    if (!run) return;
    download.href = address(runPath(run.id, "output/"), { attempt });
    download.download = `${(run.job_name || run.job_id).replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 60)}-${run.id}-${attempt}.log`;
    const tell = (text, now) => {
      put(status, text);
      if (now) onRun(now);
    };
    waker = { wake() {} };
    follow(run.id, attempt, { lines, tell, waker, signal: controller.signal }).catch((error) => {
      put(status, `cannot be read: ${error.message}`);
      if (error.status === undefined) reportError(error);
    });
  }

  signal.addEventListener("abort", () => controller.abort());
  bind([["/", "Find in the output", () => search.focus()], ["f", "Follow the end of the output", lines.follow], ["w", "Wrap lines, or do not", turn]], signal);
  return { element, show, lines, wake: () => waker.wake() };
}
