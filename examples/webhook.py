"""Jobs that report to a webhook: examples/webhook.py [http://127.0.0.1:8000]

A remote job is an HTTP call. As the child of another job it reports each success, as its failure job each failure.
This makes both, and a small receiver for them, which prints what it gets.
"""

import json
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KALA = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"


class Receiver(BaseHTTPRequestHandler):
    """Stands for a chat, a pager, or a program of yours."""

    def do_POST(self) -> None:
        report = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        # Every call of a job says which run it belongs to. A key that has been seen is a repetition: pass it over.
        key, parent = self.headers["Idempotency-Key"], self.headers["Kala-Parent-Run-Id"]
        print(f"received: {report['text']} (run {key}, after run {parent})", flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


def call(method: str, path: str, body: object = None) -> Any:
    """One request to the API. Raises `urllib.error.HTTPError` for an answer of 400 and above."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{KALA}/api/v1{path}", data, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def create(**job: object) -> str:
    return str(call("POST", "/job/", job)["id"])


def webhook(url: str, text: str) -> dict[str, object]:
    """A remote job's members: 204 counts as success, and a receiver that is away is tried twice more."""
    return {
        "type": 1,
        "retries": 2,
        "remote_properties": {
            "url": url,
            "method": "POST",
            "headers": {"Content-Type": ["application/json"]},
            "body": json.dumps({"text": text}),
            "timeout": 10,
            "expected_response_codes": [200, 204],
        },
    }


def main() -> None:
    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{receiver.server_port}/"

    # Far away: the failure job is there to be set off, and does nothing by itself.
    alert = create(name="alert", schedule="R0/2100-01-01T00:00:00Z/PT0S", **webhook(url, "the backup has failed"))
    nightly = "R/2100-01-01T02:00:00Z/P1D"
    backup = create(name="backup", command="true", schedule=nightly, on_failure_job=alert)
    create(name="report", parent_jobs=[backup], **webhook(url, "the backup is done"))

    # Each is answered when the run, and the call that it sets off, has ended.
    call("POST", f"/job/start/{backup}/")
    call("PATCH", f"/job/{backup}/", {"command": "false"})
    call("POST", f"/job/start/{backup}/")

    call("DELETE", f"/job/{backup}/")  # the report, its child, goes with it
    call("DELETE", f"/job/{alert}/")
    receiver.shutdown()


if __name__ == "__main__":
    main()
