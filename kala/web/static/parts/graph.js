// What a job comes after, and what it sets off: its parents and children, up to so many steps away, in layers from left to
// right. An arrow leads from a parent to its child, a dashed one to the job that runs after a failure.

import { fill, get, h, keyed, link, mark, put, reader, refill, s, short, wordOf } from "../base.js";

const STEPS = 3;
const MOST = 60;
const [WIDE, HIGH, ACROSS, DOWN] = [176, 44, 232, 56]; // px, of a job, and from one to the next

const before = (job) => job.parent_jobs ?? [];
const after = (job) => [...(job.dependent_jobs ?? []), job.on_failure_job].filter(Boolean);

// The jobs around one: {jobs: Map of briefs by id, more: Map from an id to how many of its neighbours are left out}. `read`
// answers briefs by id for a list of ids.
export async function around(id, read) {
  const jobs = new Map();
  const more = new Map();
  const asked = new Set([id]); // what was asked for is not asked for again: no circle holds this up
  let [up, down] = [[id], [id]];
  for (let step = 0; up.length || down.length; step += 1) {
    for (const job of Object.values(await read([...up, ...down]))) jobs.set(job.id, job);
    const next = (ids, way) => ids.flatMap((from) => {
      const found = way(jobs.get(from) ?? {}).filter((one) => !asked.has(one));
      const taken = found.slice(0, step < STEPS ? MOST - asked.size : 0);
      for (const one of taken) asked.add(one);
      if (found.length > taken.length) more.set(from, (more.get(from) ?? 0) + found.length - taken.length);
      return taken;
    });
    [up, down] = [next(up, before), next(down, after)];
  }
  return { jobs, more };
}

// The edges between them: [{from, to, fails}].
export const edgesOf = (jobs) => [...jobs.values()].flatMap((job) => [
  ...before(job).map((from) => ({ from, to: job.id })),
  { from: job.id, to: job.on_failure_job, fails: true },
]).filter(({ from, to }) => jobs.has(from) && jobs.has(to));

// Ids in layers: each job right of all that it follows, ordered so that few edges cross.
export function layers(ids, edges) {
  const linked = (id, mine, theirs) => edges.filter((edge) => edge[mine] === id).map((edge) => edge[theirs]);
  const depths = new Map(ids.map((id) => [id, 0]));
  // as often as the longest way has steps; a circle is not followed for ever
  for (const _ of ids) for (const { from, to } of edges) depths.set(to, Math.max(depths.get(to), depths.get(from) + 1));
  const found = [];
  for (const id of ids) {
    // what nothing leads to stands beside the first that it leads to, and not at the far left
    const next = depths.get(id) ? [] : linked(id, "from", "to").map((one) => depths.get(one));
    (found[next.length ? Math.min(...next) - 1 : depths.get(id)] ??= []).push(id);
  }
  const rows = found.filter(Boolean);
  for (let turn = 0; turn < 4; turn += 1) {
    const places = new Map(rows.flatMap((row) => row.map((id, place) => [id, place - row.length / 2])));
    const middle = (id) => {
      const near = linked(id, ...(turn % 2 ? ["from", "to"] : ["to", "from"]));
      return near.length ? near.reduce((sum, one) => sum + places.get(one), 0) / near.length : places.get(id);
    };
    for (const row of rows) row.sort((a, b) => middle(a) - middle(b));
  }
  return rows;
}

// {element, want(), take(events)}: `want` reads it again; `take` lets it follow events.
export function graph(id, { signal, onFault }) {
  const lines = s("svg", { "aria-hidden": "true" });
  const nodes = h("div");
  const scroll = h("div.scroll", lines, nodes);
  const note = h("p.hint");
  let jobs = new Map();
  const brief = async (ids) => (await get("/job/", { brief: true, id: ids }, signal)).jobs;
  const source = reader(async () => {
    const found = await around(id, brief);
    if (!found.jobs.has(id)) return; // deleted: what was known stays
    ({ jobs } = found);
    draw(found.more);
  }, { every: 2000, signal, onFault });

  function draw(more) {
    const edges = edgesOf(jobs);
    const rows = layers([...jobs.keys()], edges);
    const most = Math.max(...rows.map((row) => row.length));
    const places = new Map(rows.flatMap((row, column) => row.map((one, place) => [one, [column * ACROSS, (place + (most - row.length) / 2) * DOWN]])));
    const isFirst = !nodes.firstChild;
    scroll.hidden = jobs.size < 2;
    lines.setAttribute("width", rows.length * ACROSS - ACROSS + WIDE);
    lines.setAttribute("height", most * DOWN);
    fill(lines, edges.map(({ from, to, fails }) => arrow(...places.get(from), ...places.get(to), fails)));
    keyed(nodes, rows.flat().map((one) => jobs.get(one)), (job) => job.id,
      (job) => h("a", { href: link("job", { id: job.id }), "aria-current": job.id === id && "page" }), (element, job) => {
        [element.style.left, element.style.top] = places.get(job.id).map((part) => `${part}px`);
        show(element, job, more.get(job.id));
      });
    if (isFirst) scroll.scrollLeft = places.get(id)[0] - (scroll.clientWidth - WIDE) / 2;
    put(note, jobs.size > 1 ? `Arrows lead to what runs afterwards, dashed ones after a failure: at most ${STEPS} steps, ${MOST} jobs.` : "It has none.");
  }

  // a job that is not here may have become a child of one that is: that is not in the event
  const take = (events) => events.some(({ type, job }) => type.startsWith("job.") || (jobs.has(job) && type !== "run.output")) && source.want();

  return { element: h("div.graph", scroll, note), ...source, take };
}

function show(element, job, more) {
  const { state } = job.open.find((run) => run.state !== "waiting") ?? job.open[0] ?? job.results.at(-1) ?? {};
  const word = state ? wordOf(state) : "no run yet";
  const words = job.disabled ? "disabled" : short(job.words);
  element.title = short(job.name, 300);
  refill(element, [word, words, element.title, more].join(), () => [
    h("span", state && mark(state), h("span.sr-only", word)), h("span.line", element.title),
    h("small.line", more && `${more} more beside · `, words)]);
}

function arrow(left, top, right, bottom, fails) {
  const [x1, y1, x2, y2] = [left + WIDE, top + HIGH / 2, right - 1, bottom + HIGH / 2];
  return s("path", { class: fails && "fails", d: `M${x1} ${y1}C${x1 + 28} ${y1} ${x2 - 28} ${y2} ${x2} ${y2}m-6-4l6 4l-6 4` });
}
