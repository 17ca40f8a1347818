// The HTTP API. Paths are those below `API`; answers are decoded JSON.

export const API = new URL("../../../api/v1", import.meta.url).href; // below whatever path a proxy shows it
export const LOGIN = new URL("../login/", API);

// What the server refused, or why there is no answer. `status` is 0 when there is none; `fields` are faults by path.
export class Fault extends Error {
  constructor(status, message, fields = {}, body = null) {
    super(message);
    Object.assign(this, { status, fields, body });
  }
}

// The address of a path and a query. Lists are repeated; what is null, undefined or "" is left out.
export function address(path, query = {}, root = API) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") search.append(name, one);
    }
  }
  const text = search.toString();
  return root + path + (text && "?" + text);
}

// The whole response, whose status is good. Raises `Fault`; an aborted one raises the browser's AbortError.
export async function request(method, path, { query, body, headers, signal } = {}) {
  const options = { method, signal, headers: { ...headers } };
  if (body !== undefined) {
    options.body = typeof body === "string" ? body : JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const response = await heard(fetch(address(path, query), options));
  if (!response.ok) throw await faultOf(response);
  return response;
}

// What the network gives, from the first byte of an answer to its last.
async function heard(answer) {
  try {
    return await answer;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Fault(0, "the daemon does not answer");
  }
}

async function faultOf(response) {
  if (response.status === 401) location = `${LOGIN}?next=${encodeURIComponent(location)}`;
  const text = await heard(response.text());
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    // a proxy's own page, say
  }
  return new Fault(response.status, body?.error ?? `the server answered ${response.status}`, body?.fields ?? {}, body);
}

export async function decoded(response) {
  const text = await heard(response.text());
  return text ? JSON.parse(text) : null;
}

export async function get(path, query, signal) {
  return decoded(await request("GET", path, { query, signal }));
}

export async function send(method, path, body, options = {}) {
  return decoded(await request(method, path, { ...options, body }));
}

export const jobPath = (id, verb) => (verb ? `/job/${verb}/${encodeURIComponent(id)}/` : `/job/${encodeURIComponent(id)}/`);
export const runPath = (id, more = "") => `/run/${encodeURIComponent(id)}/${more}`;
