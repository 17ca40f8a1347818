"""Replays recorded exchanges of the original Kala (v0.8) against a running server.

Each case starts from an empty server (DELETE /api/v1/job/all/). A step is
{"do": "POST /api/v1/job/", "send": <text or null>, "wait": seconds before it, "keep": name for the id it returns}
and what came back: {"status", "type" (media type or null), "body" (parsed JSON, text, or null)}. "plain": true sends
no content type of JSON (as `curl -d` does).
In paths and sent text, {NAME} is an id kept earlier; {+10} is the moment 10 seconds from now in ISO 8601 UTC;
{HTTP} is a small server of this module's: /status/N answers N, /redirect leads to /status/200. Its address is put
back as {HTTP} where a url is answered.
Volatile values are replaced before comparing: ids by their kept name; a schedule that stands in what was sent by
"<as sent>"; next_run_at by "<start>" when it is within 20 ms of the start in the job's schedule; other times by
"<time>" (Go's zero time stays as it is); run durations by "<ns>"; error texts by "<text>". Rows of stats must be in
time order.
A wait is long enough on an idle machine; what comes of it is asked for until it agrees, or for `PATIENCE` more.
A recorded step may carry "ours": what this project answers instead, on purpose, and "why".

What counts as the same: the status; every member that Kala sends, in Kala's order, with Kala's value (members
that Kala lacks are welcome after them or between them); for a status of 400 and above, JSON with a text "error".
"""

import datetime as dt
import http.client
import http.server
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ZERO = "0001-01-01T00:00:00Z"
PATIENCE = 30.0
"""Seconds beyond the wait of a step in which what is asked for may still come: a busy machine takes longer."""
UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")


class Target(http.server.BaseHTTPRequestHandler):
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/status/200")
        else:
            self.send_response(int(self.path.rsplit("/", 1)[1]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer  # noqa: N815  # as http.server wants them

    def log_message(self, *args):
        pass


def exchange(base, method, path, send, plain=False):
    url = urlsplit(base)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
    headers = (
        {"Content-Type": "application/x-www-form-urlencoded" if plain else "application/json"}
        if send is not None
        else {}
    )
    for tries in range(50):
        try:
            connection.request(method, path, body=send, headers=headers)
            break
        except ConnectionRefusedError:
            connection.close()
            if tries == 49:
                raise
            time.sleep(0.1)
    try:
        response = connection.getresponse()
    except (http.client.RemoteDisconnected, ConnectionResetError):
        return 0, "dropped", None
    data = response.read().decode()
    media = (response.getheader("Content-Type") or "").split(";")[0] or None
    try:
        body = json.loads(data) if data.strip() else None
    except ValueError:
        body = data
    connection.close()
    return response.status, media, body


def fill(text, ids, target):
    if text is None:
        return None
    text = text.replace("{HTTP}", target)
    for name, value in ids.items():
        text = text.replace("{" + name + "}", value)

    def moment(match):
        when = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=float(match.group(1)))
        return when.strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")

    return re.sub(r"\{([+-]\d+(?:\.\d+)?)\}", moment, text)


def parsed(text):
    return dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text).replace("Z", "+00:00"))


def normal(value, ids, sent, key=None):
    if isinstance(value, dict):
        names = {v: k for k, v in ids.items()}
        out = {names.get(k, k): normal(v, ids, sent, k) for k, v in value.items()}
        start = (
            re.search(r"/(\d{4}-\d\d-\d\dT[^/]+)/", value.get("schedule") or "")
            if isinstance(value.get("schedule"), str)
            else None
        )
        if start and out.get("next_run_at") == "<time>":
            begin = parsed(start.group(1))
            begin = begin if begin.tzinfo else begin.replace(tzinfo=dt.UTC)
            if abs((parsed(value["next_run_at"]) - begin).total_seconds()) < 0.02:
                out["next_run_at"] = "<start>"
        return out
    if isinstance(value, list):
        times = [row["ran_at"] for row in value if isinstance(row, dict) and "ran_at" in row]
        if times != sorted(times, key=parsed):
            return ["rows out of time order"]
        return [normal(v, ids, sent, key) for v in value]
    if isinstance(value, str):
        if key == "url" and value.startswith(sent[-1]):
            return "{HTTP}" + value[len(sent[-1]) :]
        for name, known in ids.items():
            if value == known:
                return "{" + name + "}"
        if key == "error":
            return "<text>"
        if key == "schedule" and value and any(json.dumps(value)[1:-1] in text for text in sent):
            return "<as sent>"
        if UUID.match(value):
            return "<id>"
        if TIME.match(value) and value != ZERO:
            return "<time>"
    if key == "execution_duration" and isinstance(value, int):
        return "<ns>"
    return value


def expected(step):
    return step.get("ours", step.get("came"))


def run_case(base, case, target):
    exchange(base, "DELETE", "/api/v1/job/all/", None)
    ids, sent, seen = {}, [], []
    for step in case["steps"]:
        time.sleep(step.get("wait", 0))
        method, path = step["do"].split(" ", 1)
        text = fill(step.get("send"), ids, target)
        sent.append(text or "")
        until = time.monotonic() + (PATIENCE if step.get("wait") and method == "GET" else 0)
        while True:
            status, media, body = exchange(base, method, fill(path, ids, target), text, step.get("plain"))
            if step.get("keep") and isinstance(body, dict) and "id" in body:
                ids[step["keep"]] = body["id"]
            got = {"status": status, "type": media, "body": normal(body, ids, [*sent, target])}
            if time.monotonic() > until or agrees(expected(step), got):
                break
            time.sleep(0.1)
        seen.append(got)
    return seen


def same(want, got):
    if isinstance(want, dict) and isinstance(got, dict):
        shared = [key for key in got if key in want]
        return shared == list(want) and all(same(want[key], got[key]) for key in want)
    if isinstance(want, list) and isinstance(got, list):
        return len(want) == len(got) and all(map(same, want, got))
    return want == got and type(want) is type(got)


def agrees(want, got):
    if want["status"] != got["status"]:
        return False
    if want["status"] >= 400:
        body = got["body"]
        return isinstance(body, dict) and isinstance(body.get("error"), str) and "json" in (got["type"] or "")
    return (want["type"] or got["type"]) == got["type"] and same(want["body"], got["body"])


CASES = json.loads((Path(__file__).parent / "data" / "exchanges.json").read_text())


@contextmanager
def target() -> Iterator[str]:
    """The URL of the small server that remote jobs of the recordings call."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Target)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def differences(base: str, case: dict[str, Any], called: str) -> list[str]:
    """Replay a case against the server at `base`; what it answers otherwise than the original did."""
    found = []
    for number, (step, got) in enumerate(zip(case["steps"], run_case(base, case, called), strict=True), 1):
        want = expected(step)
        if not agrees(want, got):
            found.append(f"step {number}: {step['do']}\n   want {json.dumps(want)}\n   got  {json.dumps(got)}")
    return found
