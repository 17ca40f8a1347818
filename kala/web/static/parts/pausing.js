// Pausing everything, and going on. That it is so is told by an event, to all pages.

import { ask, send } from "../base.js";

export async function pause() {
  const text = "Nothing starts, on any daemon of this database, until it is resumed. What runs goes on.";
  if (await ask("Pause everything?", text, "Pause")) await send("POST", "/pause/");
}

export const resume = () => send("POST", "/resume/");
