// An address that names no view.

import { h } from "../dom.js";
import { link } from "../router.js";

export const title = () => "Not found";

export function open(root) {
  root.append(
    h("h1", {}, "There is no such view"),
    h("p", {}, "The address names none. ", h("a", { href: link("overview") }, "The overview"), " is where to go on."),
  );
}
