// The login: a token for a cookie. It needs nothing of the page's other scripts, which need who is logged in.

const ROOT = new URL("../../../../", import.meta.url); // of the server, below whatever path a proxy shows it
const form = document.getElementById("login");
const token = document.getElementById("token");
const fault = document.getElementById("fault");

// Where somebody was to go who had to log in first: on this server alone.
function next() {
  const wanted = new URL(new URLSearchParams(location.search).get("next") || ROOT, ROOT);
  return wanted.origin === ROOT.origin && wanted.pathname.startsWith(ROOT.pathname) ? wanted : ROOT;
}

function say(text) {
  fault.textContent = text;
  fault.hidden = !text;
  token.setAttribute("aria-invalid", String(Boolean(text)));
  if (text) token.select();
}

const away = () => say("The daemon does not answer.");
const session = (options) => fetch(new URL("api/v1/session/", ROOT), options);

// Who is here already, if anybody.
async function showWho() {
  const response = await session();
  const { name, role, tokens } = response.ok ? await response.json() : {};
  const who = document.getElementById("who");
  const out = document.getElementById("out");
  who.hidden = !response.ok;
  out.hidden = !name;
  if (!response.ok) return;
  who.textContent = tokens ? `You are here as ${name}, with the role ${role}.` : "No token is needed here.";
  out.onclick = () => session({ method: "DELETE" }).then(() => location.reload(), away);
}

showWho().catch(away);

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  say("");
  try {
    const response = await session({
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token: token.value.trim() }),
    });
    if (response.ok) {
      token.value = "";
      location.replace(next());
      return;
    }
    const wait = response.headers.get("Retry-After");
    const body = await response.json().catch(() => ({}));
    say((body.error ?? `The server answered ${response.status}`) + (wait ? `: try again in ${wait} s.` : "."));
  } catch {
    away();
  } finally {
    button.disabled = false;
  }
});
