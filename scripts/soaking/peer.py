"""What the jobs of a soak call, and the one who listens to its events."""

import threading
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trio

from kala.client.stream import Stream


class Peer:
    """A server at `url`: /bad is answered with 500, all else with 200. `asked` counts by path."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        asked, lock = self.asked, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"] or 0))
                with lock:
                    asked[self.path] += 1
                self.send_response(500 if self.path == "/bad" else 200)
                self.send_header("Content-Length", "3")
                self.end_headers()
                self.wfile.write(b"ok\n")

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Listener:
    """Hears all events over a websocket, in a thread, until `close`. `states` counts what ended, and occurrences that
    did not run; `broken` the times that the connection broke off."""

    def __init__(self, url: str) -> None:
        self.states: Counter[str] = Counter()
        self.started = self.broken = 0
        self._late: list[float] = []
        self._lock = threading.Lock()
        self._url = url
        self._scope = trio.CancelScope()
        self._token: trio.lowlevel.TrioToken
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._listen,), daemon=True)
        self._thread.start()
        self._is_up.wait()

    def late(self) -> list[float]:
        """How late runs by schedule started since this was last asked, in seconds."""
        with self._lock:
            late, self._late = self._late, []
        return late

    def close(self) -> None:
        self._token.run_sync_soon(self._scope.cancel)
        self._thread.join()

    async def _listen(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        out, into = trio.open_memory_channel[list[dict[str, Any]]](100)
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(Stream(self._url, {}, out, self._changed).run)
                async for batch in into:
                    self._take(batch)

    def _changed(self, sentence: str) -> None:
        self.broken += bool(sentence)
        self._is_up.set()

    def _take(self, batch: Iterable[dict[str, Any]]) -> None:
        for event in batch:
            if event["type"] == "run.finished":
                self.states[event["state"]] += 1
            elif event["type"] in ("occurrence.skipped", "occurrence.missed"):
                self.states[event["state"]] += event.get("added", 1)
            elif event["type"] == "run.started" and event.get("attempt") == 1:
                self.started += 1
                if event["trigger"] == "schedule":
                    late = moment(event["at"]) - moment(event["scheduled_for"])
                    with self._lock:
                        self._late.append(max(late, 0.0))


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
