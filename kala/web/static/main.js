// The page's frame: what is above every view, the keys, and the table of views. Read this first.

import { Fault, get, request, send } from "./api.js";
import { ask } from "./dialog.js";
import { fill, h, put } from "./dom.js";
import { bind } from "./keys.js";
import { connect, retry } from "./live.js";
import { act } from "./notice.js";
import { openKeys, openPalette } from "./palette.js";
import { reader } from "./reader.js";
import { go, link, start } from "./router.js";
import { set, state, subscribe } from "./store.js";
import { at, growing, number, startTicking } from "./time.js";
import * as edit from "./views/edit.js";
import * as job from "./views/job.js";
import * as jobs from "./views/jobs.js";
import * as missing from "./views/missing.js";
import * as overview from "./views/overview.js";
import * as run from "./views/run.js";
import * as wall from "./views/wall.js";
import * as week from "./views/week.js";

const NODE_EVERY = 15_000; // ms
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
  if (state.connection === "lost") {
    said.push(h("p", { class: "banner bad" }, "Not live: the daemon cannot be reached since ", at(state.lost), ". What is shown may be old."));
  } else if (state.ready?.database_away_since) {
    said.push(h("p", { class: "banner bad" }, "The database is away, for ", growing(state.ready.database_away_since),
      `: nothing starts, and nothing can be changed. ${number(state.ready.waiting ?? 0)} results and changes wait to be written. `, h("small", {}, state.ready.error)));
  } else if (state.ready && !state.ready.ok) {
    said.push(h("p", { class: "banner warn" }, `Nothing is started now: ${state.ready.error}`));
  }
  if (state.node?.paused && state.connection !== "lost") {
    said.push(h("p", { class: "banner warn" }, "Paused: nothing starts until it is resumed. ",
      h("button", { type: "button", onclick: (event) => act(event.currentTarget, "Resume", resume) }, "Resume")));
  }
  fill($("banners"), said);
}

async function resume() {
  await send("POST", "/resume/");
  node.want();
}

async function pause() {
  if (await ask("Pause everything?", "Nothing starts, on any daemon of this database, until it is resumed. What runs goes on.", "Pause")) {
    await send("POST", "/pause/");
    node.want();
  }
}

async function readNode(signal) {
  const ready = await readReady(signal);
  set({ node: await get("/node/", {}, signal), ready });
}

// /readyz tells what is wrong by 503: that is an answer here.
async function readReady(signal) {
  try {
    await request("GET", "/readyz", { root: "", signal });
    return { ok: true };
  } catch (fault) {
    if (!(fault instanceof Fault) || !fault.body) throw fault;
    return { ok: false, ...fault.body };
  }
}

const node = reader(readNode, { every: 1000, signal: always, onFault: () => {} }); // that it is gone, the connection says

function told({ events, reload, changed }) {
  if (changed.has("connection")) showConnection();
  if (changed.has("connection") || changed.has("ready") || changed.has("node")) showBanners();
  if (reload || events.some((event) => OF_THE_DAEMON.includes(event.type))) node.want();
}

function shown(name) {
  document.body.classList.toggle("on-wall", name === "wall");
  for (const item of document.querySelectorAll("#nav a")) {
    if (new URLSearchParams(item.search).get("view") === name) item.setAttribute("aria-current", "page");
    else item.removeAttribute("aria-current");
  }
}

const views = { overview, week, wall, jobs, job, run, edit, missing };

subscribe(told, always);
setInterval(() => document.hidden || node.want(), NODE_EVERY);
$("retry").addEventListener("click", retry);
$("palette").addEventListener("click", openPalette);
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k" && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    openPalette();
  }
});
bind([
  { keys: "g o", label: "Go to the overview", group: "Go", run: () => go(link("overview")) },
  { keys: "g w", label: "Go to the week", group: "Go", run: () => go(link("week")) },
  { keys: "g j", label: "Go to the jobs", group: "Go", run: () => go(link("jobs")) },
  { keys: "g a", label: "Go to the wall, for a screen that nobody touches", group: "Go", run: () => go(link("wall")) },
  { keys: "n", label: "New job", group: "Do", run: () => go(link("edit")) },
  { keys: "", label: "Pause everything", group: "Do", run: () => act($("palette"), "Pause", pause) },
  { keys: "", label: "Resume", group: "Do", run: () => act($("palette"), "Resume", resume) },
  { keys: ":", label: "Jump to a job or an action (also Ctrl K)", group: "Find", run: openPalette },
  { keys: "?", label: "The list of keys", group: "Find", run: openKeys },
]);
showConnection();
startTicking();
start($("main"), views, shown);
connect();
node.want();
