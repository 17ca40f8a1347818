// Dialogs: the browser's own, which keep the focus inside, close on Escape and give it back.

import { h } from "./dom.js";

let counted = 0;

// A dialog with a heading and some content: `fillIn(close)` gives the content. The promise is kept with what `close` was
// called with; undefined when it was dismissed.
export function dialog(title, fillIn, { wide = false } = {}) {
  return new Promise((done) => {
    let answer;
    const close = (value) => {
      answer = value;
      element.close();
    };
    counted += 1;
    const id = `dialog-${counted}`;
    const element = h("dialog", { "aria-labelledby": id, class: wide ? "wide" : null, onclose: () => {
      element.remove();
      done(answer);
    } }, h("h2", { id }, title), fillIn(close));
    element.addEventListener("click", (event) => {
      if (event.target === element) element.close(); // beside it
    });
    document.body.append(element);
    element.showModal();
  });
}

// Ask before something that cannot be undone. `text` may be a node.
export async function ask(title, text, verb, { danger = true } = {}) {
  const said = await dialog(title, (close) => [
    h("div", { class: "asked" }, text),
    h("div", { class: "choices" },
      h("button", { type: "button", autofocus: true, onclick: () => close(false) }, "Cancel"),
      h("button", { type: "button", class: danger ? "danger" : "primary", onclick: () => close(true) }, verb)),
  ]);
  return said === true;
}
