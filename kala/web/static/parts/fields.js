// Every member of a job that a client may send, once: where it stands in the form, how it is asked for, and what counts when
// it is not given; how a job becomes a draft, and a draft what is sent. A draft holds only what is not normal; it is never
// changed in its depths, so that drafts may share them.

const NOTHING = [undefined, "null", "false", '""', "{}"]; // as JSON
const NUMBER = /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i;
const CALL = "remote_properties.";
const IS_LOCAL = /^(command|shell|environment|directory|run_as|limits.+)$/;

// What is no number is sent as it was typed: the server says what is wrong with it.
export const numeric = (text) => (NUMBER.test(text) ? Number(text) : text);
// How a value of any shape is shown in a line.
export const words = (value) => (typeof value === "string" ? value : JSON.stringify(value) ?? "");
export const plain = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
export const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

// `path`: as the server names it; `kind`: how it is asked for, a line without, or words by value, of which the first is normal;
// `normal`: also shown while it is empty; `call`: whether it is for HTTP calls, undefined for all jobs.
function member([path, label, kind, normal, help]) {
  const call = path.startsWith(CALL) || (IS_LOCAL.test(path) ? false : undefined);
  return typeof kind === "object" ? { path, label, kind: "choice", normal: numeric(Object.keys(kind)[0]), options: kind } : { path, label, kind, normal, help, call };
}

const NONE = "none; as PT5M";
// what is of several lines goes on after a blank
const PAIRS = "A line each: NAME=value";
const HEADERS = "A line each: Name: value";

// What is not of the first three groups is folded.
export const GROUPS = [
  ["What", [
    ["name", "Name"],
    ["type", "Kind of job", { 0: "a command", 1: "an HTTP call" }],
    ["command", "Command", "text", "", "No shell reads it: | > && ; * are plain text."],
    ["shell", "Give it to /bin/sh -c", "flag"],
    [CALL + "url", "URL"],
    [CALL + "method", "Method", "", "GET"],
    [CALL + "timeout", "Time for the call", "number", 0, "Seconds; 0 is 30."],
    [CALL + "expected_response_codes", "Expected status codes", "several", "200"],
    [CALL + "headers", "Headers", "headers", "", HEADERS],
    [CALL + "body", "Body", "text"],
  ]],
  ["When", [
    ["schedule", "Schedule", "schedule", "", "Cron: [second] minute hour day month weekday"],
    ["time_zone", "Time zone", "zone", "UTC", "Its clock counts for cron, and days and longer."],
    ["disabled", "Disabled", "flag"],
  ]],
  ["Owner and labels", [
    ["owner", "Owner"],
    ["labels", "Labels", "pairs", "", PAIRS],
  ]],
  ["Clock changes and spread", [
    ["dst_gap", "A time that the clock leaves out", { shift: "is moved later", skip: "is dropped" }],
    ["dst_fold", "Of a time that comes twice", { first: "the first counts", second: "the second counts", both: "both count" }],
    ["jitter", "Spread over", "", NONE, "Each run is put off by up to this."],
  ]],
  ["Retries and time limits", [
    ["retries", "Retries", "number", 0],
    ["retry_delay", "Before the first retry", "", NONE],
    ["retry_backoff", "Each further delay is times", "number", 1],
    ["retry_max_delay", "Longest delay", "", "PT1H"],
    ["epsilon", "No attempt starts later than", "", NONE, "After the run was to start."],
    ["timeout", "Time limit of an attempt", "", NONE],
    ["kill_after", "KILL so much after TERM", "", "PT10S"],
  ]],
  ["Overlap, and what was missed", [
    ["overlap", "When a run is still on", { queue: "the latest waits", skip: "skip the new one", allow: "run both", replace: "end the old one" }],
    ["catch_up", "Of what was missed, run", { once: "the latest", none: "none", all: "all, up to the limit" }],
    ["catch_up_limit", "That limit", "number", 100],
    ["catch_up_window", "Nothing older than", "", NONE],
    ["on_lost", "When the daemon dies during a run", { record: "record it as lost: at most once", rerun: "run it again: at least once" }],
    ["resume_at_next_scheduled_time", "As of old: catch up on none, and skip", "flag"],
  ]],
  ["Other jobs", [
    ["parent_jobs", "Runs after the success of", "jobs"],
    ["parents_mode", "Of several parents", { any: "after any one", all: "when all have succeeded" }],
    ["on_failure_job", "When it has failed for good, run", "job"],
  ]],
  ["Surroundings and output", [
    ["environment", "Environment variables", "pairs", "", PAIRS],
    ["directory", "Working folder", "", "the daemon's"],
    ["run_as", "User, or user:group", "", "the daemon's"],
    ["limits.memory", "Most memory, bytes", "number"],
    ["limits.cpu_time", "Most CPU time, seconds", "number"],
    ["limits.open_files", "Most open files", "number"],
    ["limits.nice", "Niceness, -20 to 19", "number"],
    ["output_limit", "Bytes kept of each attempt's output", "number", "the server's"],
    ["TemplateDelimiters", "Template delimiters", "", "none; such as {{ }}", "For Go templates in command, URL and body."],
  ]],
  ["Notifications", [["notify", "Post what became of runs", "notify"]]],
].map(([title, rows]) => ({ title, fields: rows.map(member) }));

export const FIELDS = GROUPS.flatMap((group) => group.fields);

// The same of one target of `notify`, with paths from there.
export const NOTIFY = [
  ["url", "URL"],
  ["on", "Tell of", "several", ["failure", "recovery", "lost", "missed"], "Also: late."],
  ["every", "Of one kind at most one in", "", "PT1M"],
  ["late_after", "Late is later than", "", "PT1M"],
  ["headers", "Headers", "headers", "", HEADERS],
].map(member);

// `value`, undefined when it is normal.
export const given = (value, { normal }) => (NOTHING.includes(JSON.stringify(value)) || same(value, normal) ? undefined : value);
export const read = (draft, path) => path.split(".").reduce((at, name) => at?.[name], draft);

// Set what is at a path; undefined takes it away.
export function write(draft, path, value) {
  const [name, part] = path.split(".");
  const before = draft[name];
  draft[name] = part ? given({ ...(plain(before) && before), [part]: value }, {}) : value;
}

// What of a job, as the server tells it, is not normal.
export function draftOf(job, table = FIELDS) {
  const draft = {};
  for (const field of table) {
    const value = given(read(job, field.path), field);
    if (value !== undefined) write(draft, field.path, field.kind === "notify" ? value.map((target) => draftOf(target, NOTIFY)) : value);
  }
  return draft;
}

// The JSON merge patch from one draft to another.
export function patchOf(before, after) {
  const patch = {};
  for (const name of Object.keys({ ...before, ...after })) {
    const [old, now] = [before[name], after[name]];
    if (!same(old, now)) patch[name] = plain(old) && plain(now) ? patchOf(old, now) : (now ?? null);
  }
  return patch;
}

const NAMES = {}; // of members, by which are in which
for (const { path } of FIELDS) write(NAMES, path, true);
for (const { path } of NOTIFY) write(NAMES, `notify.${path}`, true);

// What was given, with members under their right names, as the server takes them in any case; what is null is not set.
// `unknown` gathers the paths of those that there are not.
export function canonical(value, unknown, names = NAMES, path = "") {
  if (Array.isArray(value)) return value.map((one, place) => canonical(one, unknown, names, `${path}[${place}]`));
  if (!plain(value) || !plain(names)) return value;
  const found = {};
  for (const [key, inner] of Object.entries(value)) {
    const name = Object.keys(names).find((one) => one.toLowerCase() === key.toLowerCase()) ?? key;
    if (!names[name]) unknown.push(`${path}.${key}`.slice(1));
    if (inner !== null) found[name] = canonical(inner, unknown, names[name] ?? true, `${path}.${name}`);
  }
  return found;
}
