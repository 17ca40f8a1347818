// Short messages at the foot of the page, read out by screen readers. Faults and warnings stay until they are closed.

import { button, h, refill, short } from "./dom.js";

const STAYS = 6000; // ms
const MOST = 4;

export function say(text, { kind = "info" } = {}) {
  const note = h("div", { class: `notice ${kind}`, role: kind === "error" ? "alert" : "status" },
    h("p", short(text, 500)),
    h("button", { class: "plain", "aria-label": "Close this message", onclick: () => note.remove() }, "×"));
  const place = document.getElementById("notices");
  place.append(note);
  while (place.children.length > MOST) place.firstChild.remove();
  if (kind === "info") setTimeout(() => note.remove(), STAYS);
}

// What went wrong with something that was asked for: `what` names it, as in "Start backup".
export function fault(error, what = "") {
  if (error?.name === "AbortError") return;
  if (error?.status === undefined) reportError(error); // a bug of the page's
  const fields = Object.entries(error.fields ?? {}).map(([path, text]) => `${path} ${text}`.trim());
  say([what, fields.join("; ") || error.message].filter(Boolean).join(": "), { kind: "error" });
}

// What cannot be read, told in place: an `onFault` of a reader. `again()` reads once more.
export const unread = (element, what, again) => (error) => {
  refill(element, error?.message, () => error && [`${what}: ${error.message}. `, button("Try again", again)]);
};

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
