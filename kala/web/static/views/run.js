// A run: what became of it and why, its attempts, and what it prints.

import {
  act, ask, at, badge, bind, button, bytes, duration, fill, get, growing, h, heads, keyed, link, localFull, ms,
  number, OPEN, put, reader, refill, retitle, runPath, say, send, short, subscribe, unread, utc, wordOf,
} from "../base.js";
import { output } from "../parts/output.js";

const ENDS = { status: "HTTP ", signal: "signal ", exit_code: "exit code " };
const COLUMNS = {
  State: (one) => badge(one.state),
  Started: (one) => at(one.started),
  "Ended with": (one) => Object.entries(ENDS).map(([member, text]) => one[member] !== null && text + one[member]),
  Output: (one) => bytes(one.output_size), // by its place in drawAttempt
  Duration: (one) => (one.ended ? duration(one.duration) : growing(one.started)),
  CPU: (one) => duration(one.cpu),
  Memory: (one) => bytes(one.memory),
  Error: (one) => short(one.error, 500),
};

export function open(root, params, signal) {
  const id = params.get("id") ?? "";
  let wanted; // 0: the latest
  let run = null;
  let shown = 0; // the attempt whose output is

  const heading = h("h1");
  const cancelling = button("Cancel", () => act(cancelling, "Cancel", cancel), "danger");
  const why = h("p.why", { role: "status" });
  const fault = h("p.fault", { role: "status" });
  const facts = h("dl.facts");
  const body = h("tbody");
  const attempts = h("div.scroll.attempts", h("table", heads("Attempt", ...Object.keys(COLUMNS)), body));
  const later = h("p", { role: "status" });
  const printed = output({ signal, onRun: took });
  const whole = h("div", { hidden: true }, h("div.bar", heading, cancelling), why, h("div.panel", facts), attempts, later, printed.element);
  root.append(fault, whole);

  const failed = unread(fault, "The run", () => source.want());
  const source = reader(async () => took((await get(runPath(id), {}, signal)).run), { signal, onFault: (error) => (error?.status === 404 ? gone() : failed(error)) });

  function gone() {
    if (run) return put(fault, "It is recorded no more: this was the last of it.");
    retitle("No such run", signal);
    fill(root, h("h1", "There is no such run"),
      h("p", "None has the id ", h("span.mono", short(id, 200)), ". The oldest runs of each job go first."), h("a", { href: link("jobs") }, "The jobs"));
  }

  function took(now) {
    if (signal.aborted) return;
    run = now;
    whole.hidden = false;
    retitle(`${wordOf(run.state)}: ${short(run.job_name || "run", 60)}`, signal);
    refill(heading, run.state + run.job_name, () => [badge(run.state), " ", jobOr(h("span.none", "a job that is gone"))]);
    cancelling.hidden = !OPEN.includes(run.state);
    put(why, `${run.explanation[0].toUpperCase()}${run.explanation.slice(1)}.`);
    // a link in those that stay the same stays focused
    keyed(facts, listed().filter((one) => one[2]), ([name, sign]) => name + sign, ([name, , ...content]) => h("div", h("dt", name), h("dd", content)));
    choose();
    attempts.hidden = !run.attempts.length;
    keyed(body, run.attempts, (one) => one.number, () => h("tr"), drawAttempt);
  }

  const jobOr = (other) => (run.job_name ? h("a", { href: link("job", { id: run.job_id }) }, short(run.job_name, 200)) : other);

  // [name, a sign that says when it is another, content…]
  function listed() {
    const isRange = run.count > 1;
    const moment = (name, value) => [name, value, value && at(value, localFull), small(utc(value).split(", ").pop())];
    const text = (name, value) => [name, value, value];
    const mono = (value) => h("span.mono", value);
    const small = (value) => h("small", " ", value);
    return [
      ["Trigger", run.parent_run, run.trigger, run.parent_run && [": ", h("a", { href: link("run", { id: run.parent_run }) }, "its run")]],
      moment(isRange ? "First" : "Scheduled for", run.scheduled_for),
      moment("Last", isRange && run.until),
      text("Occurrences", isRange && number(run.count)),
      moment("Due, by its jitter", ms(run.due) !== ms(run.scheduled_for) && run.due),
      moment("Not before", run.not_before),
      moment("Started", run.started),
      text("Late by", run.lateness !== null && duration(run.lateness)),
      moment("Ended", run.ended),
      run.started && !run.ended ? ["On for", run.started, growing(run.started)] : text("Duration", run.duration !== null && duration(run.duration)),
      ["Job", run.job_name, jobOr(mono(run.job_id)), small(`version ${run.job_version}`)],
      ["Run", id, mono(id)],
    ];
  }

  function drawAttempt(row, one) {
    refill(row, JSON.stringify({ ...one, output_size: 0 }), () => [
      h("a", { href: link("run", { id, attempt: one.number }), "aria-label": `Output of attempt ${one.number}` }, one.number),
      ...Object.values(COLUMNS).map((show) => show(one)),
    ].map((content) => h("td", content)));
    put(row.children[4], bytes(one.output_size));
    row.ariaCurrent = one.number === shown ? "true" : null;
  }

  // Which attempt's output is shown: the one that was chosen, or the latest, unless somebody reads an earlier one, or it
  // is one that was lost with its daemon: nobody else has what it printed.
  function choose() {
    const latest = run.attempts.length;
    const moves = !shown || (printed.lines.following && run.attempts[shown - 1]?.state !== "lost");
    const next = wanted || (moves ? latest : shown);
    if (next !== shown && run.attempts[next - 1]) turn(next);
    else if (!shown) {
      printed.show(null, 0, latest ? `There has been no attempt ${wanted}.` : OPEN.includes(run.state) ? "Nothing yet: it has not begun."
        : "It was never begun, or nothing of it was kept.");
    }
    const newer = !wanted && latest > shown && latest;
    refill(later, newer, () => newer && [`Attempt ${newer} has begun. `, button("Show its output", () => {
      turn(newer);
      took(run);
    })]);
    printed.element.hidden = ["skipped", "missed"].includes(run.state);
  }

  function turn(attempt) {
    shown = attempt;
    printed.show(run, attempt);
  }

  async function cancel() {
    if (!(await ask("Cancel this run?", "Its processes are ended, and it is not tried again.", "Cancel the run", "Let it be"))) return;
    try {
      took((await send("POST", runPath(id, "cancel/"))).run);
    } catch (error) {
      if (error.status !== 409) throw error;
      say(`It had ended already: ${wordOf(error.body.state)}.`);
      source.want();
    }
  }

  function update(next) {
    if (next.get("id") !== params.get("id")) return false;
    wanted = Number(next.get("attempt"));
    if (!wanted) shown = 0;
    if (run) took(run);
    return true;
  }

  subscribe(({ events, reload, changed }) => {
    let isOld = reload || changed.has("node") || changed.has("connection");
    let isMore = false;
    for (const { type, run: its, job, attempt, size } of events) {
      const one = its === id && type === "run.output" && run?.attempts[attempt - 1];
      if (one) [one.output_size, isMore] = [Math.max(one.output_size, size), true];
      else if (its === id || (job === run?.job_id && (run?.state === "waiting" || type.startsWith("job.")))) isOld = true;
    }
    if (isMore) took(run);
    if (!isOld) return;
    source.want();
    printed.wake();
  }, signal);
  bind([["c", "Cancel the run", () => cancelling.hidden || cancelling.click()]], signal);
  update(params);
  source.want();
  return { update };
}
