// Short messages at the foot of the page, read out by screen readers. Faults stay until they are closed.

import { h, short } from "./dom.js";

const STAYS = 6000; // ms
const MOST = 4;

const place = () => document.getElementById("notices");

export function say(text, { kind = "info", action } = {}) {
  const close = () => note.remove();
  const note = h("div", { class: `notice ${kind}`, role: kind === "error" ? "alert" : "status" },
    h("p", {}, short(text, 500)),
    action && h("a", { href: action.href, onclick: close }, action.text),
    h("button", { type: "button", class: "plain", "aria-label": "Close this message", onclick: close }, "×"));
  place().append(note);
  while (place().children.length > MOST) place().firstChild.remove();
  if (kind !== "error") setTimeout(close, STAYS);
}

// What went wrong with something that was asked for: `what` names it, as in "Start backup".
export function fault(error, what = "") {
  if (error?.name === "AbortError") return;
  if (error?.status === undefined) reportError(error); // a bug of the page's
  const fields = Object.entries(error.fields ?? {}).map(([path, text]) => `${path} ${text}`.trim());
  say(`${what ? `${what}: ` : ""}${fields.length ? fields.join("; ") : error.message}`, { kind: "error" });
}

// Do something that a button asked for, disabled meanwhile; what goes wrong is said.
export async function act(button, what, task) {
  if (button.disabled) return;
  const hadFocus = document.activeElement === button;
  button.disabled = true;
  try {
    await task();
  } catch (error) {
    fault(error, what);
  } finally {
    button.disabled = false;
    if (hadFocus && document.activeElement === document.body) button.focus();
  }
}
