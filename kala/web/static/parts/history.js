// The runs of a job, as a list of pages and as all that is to be drawn, kept up to date without reading all of it again.

import { decoded, ms, now, OPEN, reader, request } from "../base.js";

const PAGE = 20;
const PORTION = 1000; // runs in an answer
const MOST = 2000; // runs that are drawn

// What can be drawn, by its word in the address: its name, the most runs, and of how many seconds.
export const SPANS = {
  20: ["the last 20", 20],
  100: ["the last 100", 100],
  all: ["all that are kept", MOST],
  "1h": ["the last hour", MOST, 3600],
  "24h": ["the last 24 hours", MOST, 86_400],
  "7d": ["the last 7 days", MOST, 604_800],
};

export const isOpen = (run) => OPEN.includes(run.state);

// From when to when a run is shown, in ms.
export function extent(run) {
  const start = ms(run.started) ?? ms(run.until ? run.scheduled_for : run.due);
  return [start, Math.max(start, ms(run.until) ?? ms(run.ended) ?? (isOpen(run) ? now() : 0))];
}

// {look(span, after), renew(), all, chosen()}: `look` says what is wanted, `renew` brings it up to date; `all` is the
// reader of all of it, after which `told()` is called.
export function history(id, { signal, onFault, told }) {
  let [span, after] = [SPANS[100], ""];
  let runs = new Map(); // those that are drawn, and what is newer
  let page = { runs: [] };

  // While the database is away an answer has only what is open: it is stale.
  async function read(query) {
    const response = await request("GET", "/run/", { query: { job: id, ...query }, signal });
    return { ...(await decoded(response)), stale: response.headers.has("Kala-Stale") };
  }

  // Two answers may come in the wrong order: what has ended stays so.
  function keep(found, into) {
    for (const run of found) {
      const before = runs.get(run.id);
      into.set(run.id, before && !isOpen(before) && isOpen(run) ? before : run);
    }
  }

  // What has changed is on the newest page, unless more has than it holds.
  async function renew() {
    const newest = await read({ limit: PAGE });
    const ids = newest.runs.map((run) => run.id);
    const isApart = newest.next && !runs.has(ids.at(-1));
    if (!newest.stale && (isApart || [...runs.values()].some((run) => isOpen(run) && !ids.includes(run.id)))) all.want();
    keep(newest.runs, runs);
    if (!newest.stale || !page.runs.length) page = after ? await read({ limit: PAGE, after }) : newest;
  }

  const since = () => (span[2] ? now() - span[2] * 1000 : null);

  const all = reader(async () => {
    const mine = span;
    const found = new Map();
    let answer = {};
    do {
      answer = await read({ limit: Math.min(PORTION, mine[1] - found.size), after: answer.next, since: since() && new Date(since()).toISOString() });
      keep(answer.runs, found);
    } while (answer.next && found.size < mine[1] && mine === span);
    if (mine !== span) return; // that is read next
    runs = answer.stale ? new Map([...runs, ...found]) : found;
    told();
  }, { every: 3000, signal, onFault });

  function look(name, from) {
    [span, after] = [SPANS[name], from];
    all.want();
  }

  // What is to be drawn, in order, since when (null where that is the oldest of them), and the page that is to be listed.
  function chosen() {
    const from = since();
    const found = [...runs.values()].filter((run) => extent(run)[1] >= (from ?? 0));
    return { from, page, runs: found.sort((a, b) => (a.created < b.created ? -1 : 1)).slice(-span[1]) };
  }

  return { look, renew, all, chosen };
}
