// Making a job, and changing one. What is filled in is a draft (see `parts/fields.js`), which the form and the JSON show.

import {
  button, fault, fill, get, go, guard, h, heads, jobPath, link, put, reader, retitle, say, send, short, subscribe,
} from "../base.js";
import { FIELDS, canonical, draftOf, patchOf, plain, read, same, words, write } from "../parts/fields.js";
import { jobForm } from "../parts/form.js";

const SHOWN = 2000; // characters of a value

let handed = {}; // what the next new job begins with

async function readJob(id, signal) {
  const { job } = await get(jobPath(id), {}, signal);
  return { draft: draftOf(job), version: job.version };
}

export function open(root, params, signal) {
  const [id, copied] = [params.get("id"), params.get("copy")];
  if (id || copied) start();
  else {
    edit(root, { base: {}, draft: handed }, signal);
    handed = {};
  }
  return { update: (next) => String(next) === String(params) };

  async function start() {
    fill(root, h("p", { role: "status" }, "Reading …"));
    try {
      const { draft, version } = await readJob(id ?? copied, signal);
      if (!id) draft.name += " (copy)";
      edit(root, { id, version, base: draft, draft }, signal);
    } catch (error) {
      if (signal.aborted) return;
      fill(root, h("h1", error.status === 404 ? "There is no such job" : "The job cannot be read"), h("p", error.message),
        h("div.bar", h("a", { href: link("jobs") }, "All jobs"), button("Try again", start)));
    }
  }
}

function edit(root, { id, version, base, draft }, signal) {
  // Made once for a form: however often its request is repeated, it makes one job.
  let key = newKey();
  const form = jobForm({ signal, changed: () => json.show(draft) });
  const json = jsonText((members) => {
    const unknown = [];
    draft = canonical(members, unknown);
    form.show(draft);
    return unknown;
  });
  const h1 = h("h1", { tabindex: -1 }, id ? `Edit ${short(draft.name, 80)}` : "New job");
  const wrong = h("div.panel.wrong", { hidden: true });
  const news = h("div", { role: "status" });
  const submit = h("button.primary", { title: "Ctrl Enter", onclick: save }, id ? "Save" : "Create the job");
  const body = h("div", { spellcheck: "false" }, news, wrong, form.element, json.element,
    h("div.bar", submit, h("a.button", { href: id ? link("job", { id }) : link("jobs") }, "Cancel")));
  const isDirty = () => json.isWrong() || Object.keys(patchOf(base, draft)).length > 0;
  const stand = (element) => fill(root, h1, element);
  stand(body);
  retitle(h1.textContent, signal);
  show({ ...draft });
  if (!id) form.element.querySelector("input").focus();

  guard(() => !isDirty() || confirm("Leave without saving?"), signal);
  addEventListener("beforeunload", (event) => isDirty() && event.preventDefault(), { signal });
  root.addEventListener("keydown", (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && save(), { signal });
  const latest = reader(async () => {
    const now = await readJob(id, signal);
    if (now.version === version || submit.disabled) return;
    fill(news, h("p.banner.warn", "Somebody else has changed this job. ", button("See what differs", compare)));
  }, { every: 1000, signal, onFault: (error) => error?.status === 404 && gone() });
  subscribe(({ events, reload }) => {
    if (id && (reload || events.some((event) => event.job === id && event.type.startsWith("job.")))) latest.want();
  }, signal);

  function show(other) {
    draft = other;
    form.show(draft);
    json.show(draft);
  }

  function gone() {
    stand(body);
    submit.hidden = true;
    fill(news, h("p.banner.bad", "This job has been deleted meanwhile. ", button("Make it anew", () => {
      handed = draft;
      go(link("edit"), { replace: true });
    })));
  }

  // Ask what is to become of their changes and mine.
  async function compare() {
    try {
      const now = await readJob(id, signal);
      stand(conflict(base, now.draft, draft, (decided, saves) => {
        stand(body);
        if (decided) {
          fill(news);
          [base, version] = [now.draft, now.version];
          show({ ...decided });
        }
        if (saves) save();
        else h1.focus();
      }));
      root.querySelector("h2").focus();
    } catch (error) {
      if (error.status === 404) gone();
      else fault(error, "Reading again");
    }
  }

  async function save() {
    if (submit.disabled || submit.hidden || !body.isConnected) return;
    if (json.isWrong()) return json.focus();
    submit.disabled = true;
    wrong.hidden = true;
    try {
      const answer = await sent();
      base = draft;
      for (const warning of answer.warnings ?? []) say(warning, { kind: "warn" });
      if (!signal.aborted) go(link("job", { id: id ?? answer.id }));
    } catch (error) {
      if (signal.aborted) fault(error, "Saving the job");
      else refused(error);
    } finally {
      submit.disabled = false;
    }
  }

  async function sent() {
    if (!id) return send("POST", "/job/", draft, { headers: { "Idempotency-Key": key } });
    const patch = patchOf(base, draft);
    return Object.keys(patch).length ? send("PATCH", jobPath(id), patch, { headers: { "If-Match": `"${version}"` } }) : {};
  }

  function refused(error) {
    const { status } = error;
    if (status === undefined) throw error;
    if (status === 412) return compare();
    if (id && status === 404) return gone();
    let { fields, message } = error;
    if (status === 413) fields = { [longest(draft)]: message };
    if (!id && status === 409) {
      key = newKey();
      message = "An earlier try has made a job. Saving again makes another";
    }
    if (!status || status >= 500) message += ". The form is kept: save again, it is done once only";
    const said = form.faults(Object.keys(fields).length ? fields : { "": message });
    fill(wrong, h("h2", { tabindex: -1 }, "Not saved"), h("ul", said.map(({ label, text, control }) => h("li",
      control ? button(label, () => control.focus(), "plain") : label, label && ": ", text))));
    wrong.hidden = false;
    wrong.firstChild.focus();
  }
}

const newKey = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

// The member with the longest text: what makes a request too large.
function longest(draft) {
  const size = (name) => words(draft[name]).length;
  return Object.keys(draft).sort((one, other) => size(other) - size(one))[0];
}

// Two have changed a job: what it was, what it is now, and what the form has, member by member, to be chosen from.
// `decided(draft, saves)` is called with what is to go on with, none for what was there; `saves`: it is to be saved. "Keep mine"
// puts what I have changed on top of theirs. Where only one has changed a member, that is the choice; where both have, it is for somebody to choose.
function conflict(was, theirs, mine, decided) {
  const found = FIELDS.map((field) => ({ ...field, was: read(was, field.path), theirs: read(theirs, field.path), mine: read(mine, field.path) }))
    .filter((one) => !same(one.theirs, one.mine));
  for (const one of found) one.choice = same(one.was, one.mine) ? "theirs" : same(one.was, one.theirs) && "mine";

  function merge(event) {
    event.preventDefault();
    const made = { ...theirs };
    for (const one of found) if (one.choice !== "theirs") write(made, one.path, one.mine);
    decided(made, true);
  }

  const shown = (one, way) => h("td", h("label", way !== "was" && h("input", { type: "radio", name: one.path, required: true, checked: one.choice === way, "aria-label": `${one.label}: ${way}`, onchange() {
    one.choice = way;
  } }), " ", h("span", { class: one[way] === undefined ? "none" : "mono value" }, short(words(one[way] ?? one.normal ?? "not set"), SHOWN))));

  return h("form", { onsubmit: merge },
    h("h2", { tabindex: -1 }, "Somebody else has changed this job"),
    h("p", `Nothing is saved yet. Changed by both: ${found.filter((one) => !one.choice).length}.`),
    h("div.scroll", h("table",
      heads("Member", "It was", "Theirs", "Mine"),
      h("tbody", found.map((one) => h("tr", { class: !one.choice && "both" }, h("th", { scope: "row" }, one.label),
        ["was", "theirs", "mine"].map((way) => shown(one, way))))))),
    h("div.bar", button("Take theirs", () => decided(theirs)), button("Keep mine", merge),
      h("button.primary", { type: "submit" }, "Save as chosen"), button("Back to the form", () => decided())));
}

// A draft as JSON, to be read and edited. `taken(members)` is called with what somebody has written, when it is an object; it
// returns the names that there are not.
function jsonText(taken) {
  let fault = "";
  const said = h("p.fault", { id: "json-fault", role: "status" });
  const area = h("textarea", { id: "json", class: "mono", "aria-label": "JSON, as the API takes it", "aria-describedby": "json-fault", oninput() {
    let members = null;
    try {
      members = JSON.parse(area.value);
      tell(plain(members) ? "" : "It must be an object: { … }");
    } catch (error) {
      tell(`Not JSON: ${error.message}`); // browsers say where, each in its own way
    }
    const unknown = !fault && taken(members).join(", ");
    if (unknown) put(said, `Not known, so passed over: ${unknown}`);
  } });
  const element = h("details.panel", h("summary", h("h2", "JSON")), area, said);

  function tell(wrong) {
    fault = wrong;
    area.ariaInvalid = !!fault;
    put(said, fault);
  }

  return {
    element,
    show(draft) {
      area.value = JSON.stringify(draft, null, 2);
      tell("");
    },
    // Whether what stands there is no draft; it gets the focus then.
    isWrong: () => fault,
    focus() {
      element.open = true;
      area.focus();
    },
  };
}
