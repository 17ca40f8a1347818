// The page's frame: what is above every view, the keys, and the table of views. Read this first.

import {
  LOGIN, act, at, bind, button, get, go, growing, h, here, keyed, link, number, put, reader, set, start, startTicking,
  state, subscribe,
} from "./base.js";
import { connect, retry } from "./live.js";
import { openKeys, openPalette } from "./palette.js";
import { pause, resume } from "./parts/pausing.js";

const LATER = 1500; // ms, after which the other views are loaded
const NODE_EVERY = 15_000; // ms
const UNWELL_EVERY = 2000; // ms, while it cannot run jobs: nothing tells that it can again
const OF_THE_DAEMON = ["store.down", "store.up", "daemon.paused", "daemon.resumed"];
const $ = (id) => document.getElementById(id);
const always = new AbortController().signal;

// How it stands with the connection, always in sight.
function showConnection() {
  const sign = $("live");
  if (sign.dataset.state !== state.connection) {
    sign.dataset.state = state.connection;
    put($("live-text"), { live: "Live", connecting: "Connecting", lost: "Not live" }[state.connection]);
    $("retry").hidden = state.connection !== "lost";
    document.body.classList.toggle("stale", state.connection === "lost");
  }
}

// What everybody must know: it is not live, paused, or its database is away.
function showBanners() {
  const said = [];
  const { database, not_ready, paused } = state.node ?? {};
  if (state.connection === "lost") {
    said.push(h("p.banner.bad", "Not live: the daemon cannot be reached since ", at(state.lost), ". What is shown may be old."));
  } else if (database?.away_since) {
    said.push(h("p.banner.bad", "The database is away, for ", growing(database.away_since),
      `: nothing starts, and nothing can be changed. ${number(database.waiting)} results and changes wait to be written. `, h("small", not_ready)));
  } else if (not_ready) {
    said.push(h("p.banner.warn", `Nothing is started now: ${not_ready}`));
  }
  if (paused && state.connection !== "lost") {
    said.push(h("p.banner.warn", "Paused: nothing starts until it is resumed. ",
      button("Resume", (event) => act(event.currentTarget, "Resume", resume))));
  }
  // what was said before stays: somebody may be pressing its button
  keyed($("banners"), said, (one) => one.textContent, (one) => one);
}

// that it is gone, the connection says
const node = reader(async (signal) => set({ node: await get("/node/", {}, signal) }), { every: 1000, signal: always });

function told({ events, reload, changed }) {
  if (changed.has("connection")) showConnection();
  if (changed.has("connection") || changed.has("node")) showBanners();
  if (reload || events.some((event) => OF_THE_DAEMON.includes(event.type))) node.want();
}

function shown(name) {
  document.body.classList.toggle("on-wall", name === "wall");
  for (const item of document.querySelectorAll("#nav a")) {
    // a job that is edited is no new one
    item.ariaCurrent = item.search === link(name) && !(name === "edit" && here().has("id")) ? "page" : null;
  }
}

const missing = (root) => root.append(h("h1", "No such view"),
  h("a", { href: link("overview") }, "The overview"));
// What opens each is loaded when it is first shown, and the others after that: the first view need not wait for them.
const views = { missing: () => missing };
for (const name of ["overview", "week", "wall", "jobs", "job", "run", "edit"]) {
  views[name] = async () => (await import(`./views/${name}.js`)).open;
}

subscribe(told, always);
setInterval(node.want, NODE_EVERY);
setInterval(() => state.node?.not_ready && node.want(), UNWELL_EVERY);
$("retry").addEventListener("click", retry);
$("palette").addEventListener("click", openPalette);
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k" && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    openPalette();
  }
});
const to = (keys, label, view) => [keys, label, () => go(link(view)), "Go"];
bind([
  to("g o", "Go to the overview", "overview"),
  to("g w", "Go to the week", "week"),
  to("g j", "Go to the jobs", "jobs"),
  to("g a", "Go to the wall, for a screen nobody touches", "wall"),
  to("n", "New job", "edit"),
  ["", "Pause everything", () => act($("palette"), "Pause", pause), "Do"],
  ["", "Resume", () => act($("palette"), "Resume", resume), "Do"],
  ["", "Log in or out", () => location.assign(LOGIN), "Do"],
  [":", "Jump to a job or an action (Ctrl K)", openPalette, "Find"],
  ["?", "The list of keys", openKeys, "Find"],
], always);
showConnection();
startTicking();
start($("main"), views, shown);
connect();
node.want();
// what cannot be had then is loaded when it is shown
setTimeout(() => Promise.allSettled(Object.values(views).map((load) => load())), LATER);
