// Dialogs: the browser's own, which keep the focus inside, close on Escape and give it back.

import { button, h } from "./dom.js";

// A dialog with a heading and some content: `fillIn(close)` gives the content. The promise is kept with what `close` was
// called with; undefined when it was dismissed.
export function dialog(title, fillIn) {
  return new Promise((done) => {
    let answer;
    const close = (value) => {
      answer = value;
      element.close();
    };
    const element = h("dialog", {
      "aria-label": title,
      onclick: (event) => event.target === element && close(), // beside it
      onclose: () => {
        element.remove();
        done(answer);
      },
    }, h("h2", title), fillIn(close));
    document.body.append(element);
    element.showModal();
  });
}

// Ask before something that cannot be undone. `text` may be a node.
export const ask = (title, text, verb, keep = "Cancel") => dialog(title, (close) => [
  h("div", text),
  h("div.choices",
    button(keep, () => close(false)),
    button(verb, () => close(true), "danger")),
]);
