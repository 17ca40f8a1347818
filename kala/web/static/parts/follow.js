// Reading what an attempt prints into a viewer, each byte once, whatever becomes of connections and of the daemon.

import { Fault, get, number, OPEN, request, runPath } from "../base.js";
import { terminal } from "./ansi.js";

const FIRST = 250; // ms until it is asked again, doubled while nothing comes
const LAST = 5000;
const PORTION = 32_768; // bytes that are taken in at a time
const BUDGET = 8; // ms of a frame for that
const HIDDEN = 100; // ms between two of them while nobody sees it

const frame = () => new Promise((done) => (document.hidden ? setTimeout(done, HIDDEN) : requestAnimationFrame(done)));

// `tell(text, run)` says how it goes, and the run where it was read. `waker.wake()` is for when it is worth asking at once.
// Ends when all has come, or on abort.
export async function follow(id, attempt, { lines, tell, waker, signal }) {
  const screen = terminal();
  const decoder = new TextDecoder();
  let position = 0;
  let until = 0;
  let delay = FIRST;
  while (!signal.aborted) {
    try {
      const { run } = await get(runPath(id), {}, signal);
      const now = run.attempts[attempt - 1];
      const isOver = now ? now.ended : !OPEN.includes(run.state);
      const before = position;
      tell(isOver ? "" : "live", run);
      if (now) await read();
      if (position > before) delay = FIRST;
      else if (isOver) return last(now?.output_size ?? -1);
      if (isOver) continue; // what is kept of it may begin after what has come
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Fault) || error.status === 404) throw error;
      tell("the connection is lost: it goes on when it is back");
    }
    await new Promise((done) => {
      waker.wake = done;
      setTimeout(done, delay);
    });
    delay = Math.min(delay * 2, LAST);
  }

  async function read() {
    const response = await request("GET", runPath(id, "output/"), { query: { attempt, follow: true, offset: position }, signal });
    const begin = Number(response.headers.get("Kala-Output-Offset"));
    if (begin > position) {
      const missed = `${number(begin - position)} bytes`;
      note(position ? `${missed} passed over: they came faster than they could be read` : `the first ${missed} are not kept`);
      position = begin;
    }
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read().catch(() => {
        throw new Fault(0);
      });
      if (done) return;
      position += value.length;
      await take(value);
    }
  }

  async function take(bytes) {
    for (let at = 0; at < bytes.length; at += PORTION) {
      if (performance.now() > until) {
        await frame();
        until = performance.now() + BUDGET;
      }
      if (signal.aborted) return;
      feed(decoder.decode(bytes.subarray(at, at + PORTION), { stream: true }));
    }
  }

  function feed(text, ...notes) {
    const ended = [];
    const add = (line) => ended.push(line);
    screen.feed(text, add);
    if (notes.length) screen.end(add);
    lines.append([...ended, ...notes], screen.line());
  }

  function note(text) {
    feed(decoder.decode(), { text, note: true });
  }

  function last(size) {
    if (size < position) note("The daemon ended before this was kept: there is no more than what came until then.");
    else if (size > position) note(`the last ${number(size - position)} bytes are not kept`);
  }
}
