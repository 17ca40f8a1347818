// The one connection: events over a websocket. It comes back by itself, with growing delays, and goes on after the last
// event that was heard; where that is too long ago, everything that is shown is read again.

import { address, get, reload, set, setServerTime, state, take } from "./base.js";

const FIRST = 500; // ms until the first new attempt, doubled with each up to the last
const LAST = 30_000;
const SILENCE = 45_000; // the daemon says something every 20 s: a connection that is silent for so long is dead

let socket = null;
let timer = null;
let watch = null;
let delay = FIRST;
let last = ""; // the id of the last event

export function connect() {
  clearTimeout(timer);
  const url = new URL(address("/events/", { after: last }));
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const mine = new WebSocket(url);
  socket = mine;
  listen();
  mine.addEventListener("message", (message) => {
    if (socket !== mine) return;
    listen();
    heard(JSON.parse(message.data).events);
  });
  mine.addEventListener("close", () => {
    if (socket === mine) lost();
  });
}

function listen() {
  clearTimeout(watch);
  watch = setTimeout(() => {
    socket?.close();
    lost();
  }, SILENCE);
}

function heard(events) {
  if (!events.length) return;
  if (events[0].type === "hello" || events[0].type === "reload") {
    const first = events.shift();
    const isFirst = !last;
    setServerTime(first.at);
    last = first.id;
    delay = FIRST;
    set({ connection: "live", lost: null });
    if (first.type === "reload" || isFirst) reload();
  }
  if (!events.length) return;
  last = events.at(-1).id;
  take(events);
}

function lost() {
  get("/session/").catch(() => {}); // who may not come in any more is led to the login; what else is wrong, `connect` finds
  socket = null;
  clearTimeout(watch);
  // spread, so that all pages do not come back to a restarted daemon at once
  const wait = delay * (0.75 + Math.random() / 2);
  delay = Math.min(delay * 2, LAST);
  set({ connection: "lost", lost: state.lost ?? Date.now() });
  timer = setTimeout(connect, wait);
}

// Try at once: somebody asked for it, or the network or the tab is back.
export function retry() {
  if (state.connection !== "lost" || socket) return;
  delay = FIRST;
  connect();
}

addEventListener("online", retry);
document.addEventListener("visibilitychange", () => document.hidden || retry());
