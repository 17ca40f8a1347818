"""What notifications are posted to."""

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """Takes most of what is posted to `url`, and refuses some, by its number: that has to come again."""

    def __init__(self) -> None:
        self.taken: dict[str, dict[str, object]] = {}  # by id, as first taken
        self.times: Counter[str] = Counter()
        self.asked = 0
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    outer.asked += 1
                    refused = outer.asked % 5 == 0
                    if not refused:
                        outer.taken.setdefault(body["id"], body)
                        outer.times[body["id"]] += 1
                self.send_response(503 if refused else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/notices"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
