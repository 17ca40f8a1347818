"""`kala import` from a server, and into a daemon that runs; its progress on a terminal."""

import json
import os
import pty
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from daemon_process import ROOT, KalaProcess
from import_command import RECORDED, imported, job

from kala.client.server import base_of

pytestmark = pytest.mark.usefixtures("no_settings")


@pytest.mark.parametrize(
    "url",
    ["http://old:8000", "http://old:8000/", "http://old:8000/api/v1", "http://old:8000/api/v1/job/"],
)
def test_addresses(url: str) -> None:
    assert base_of(url) == "http://old:8000"


def test_a_bar_on_a_terminal(tmp_path: Path) -> None:
    ours, terminal = pty.openpty()
    command = [sys.executable, "-m", "kala", "import", str(RECORDED), "--bolt-path", str(tmp_path / "data")]
    try:
        result = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=terminal, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
        )
        shown = ""
        while "100%" not in shown and select.select([ours], [], [], 10)[0]:
            shown += os.read(ours, 65_536).decode()
    finally:
        os.close(ours)
        os.close(terminal)
    assert result.returncode == 0
    assert b"13 of 13 jobs taken" in result.stdout
    assert "Importing" in shown
    assert "100%" in shown


def tree(children: int) -> dict[str, Any]:
    """A parent whose children are named in descending order, and three times as many jobs beside it."""
    names = [f"child {number:03d}" for number in range(children, 0, -1)]
    return (
        {f"single {number:03d}": job(on_failure_job="alert") for number in range(3 * children)}
        | {name: job(parent_jobs=["parent"]) for name in reversed(names)}
        | {"parent": job(dependent_jobs=names), "alert": job()}
    )


@pytest.mark.slow
def test_into_a_daemon_that_runs(tmp_path: Path, kala: KalaProcess) -> None:
    # given more jobs than one portion holds, and some that are broken
    jobs = tree(300) | {"bad": job(schedule="nonsense")}
    (tmp_path / "jobs.json").write_text(json.dumps({"jobs": jobs}))

    # when they are imported into its database, that is refused, and says what to do
    result = imported(tmp_path / "jobs.json", "--bolt-path", str(kala.folder))
    assert result.exit_code == 3
    assert "another daemon works on this database" in result.stderr
    assert "--to" in result.stderr
    assert kala.jobs() == {}

    # when they are imported into the daemon
    result = imported(tmp_path / "jobs.json", "--to", kala.url)

    # then all that can be are there, children in their order
    assert result.exit_code == 1
    assert result.stdout == f"1,202 of 1,203 jobs taken into {kala.url}\n"
    [line] = result.stderr.splitlines()
    assert line.startswith("not taken: bad (j): schedule: ")
    found = kala.jobs()
    assert found.keys() == jobs.keys() - {"bad"}
    assert found["parent"]["dependent_jobs"] == jobs["parent"]["dependent_jobs"]


@pytest.mark.slow
def test_from_a_server(tmp_path: Path, kala: KalaProcess) -> None:
    # given a daemon with a parent that has run, and a child
    parent = kala.create(name="parent", command="false")
    child = kala.create(name="child", parent_jobs=[parent])
    assert kala.post(f"/api/v1/job/start/{parent}/").status == 204

    # when its jobs are taken over by another
    result = imported(kala.url, "--bolt-path", str(tmp_path / "new"))
    assert result.exit_code == 0, result.output
    with KalaProcess(tmp_path / "new") as new:
        # then they are the same there, but for the rows of what has run, which stay behind
        before, after = kala.jobs(), new.jobs()
        assert before.keys() == after.keys() == {parent, child}
        for job_id in before:
            assert after[job_id] == before[job_id] | {"stats": None, "version": 1}
        assert after[parent]["metadata"]["error_count"] == 1


@contextmanager
def answering(*answers: tuple[int, bytes]) -> Iterator[str]:
    """The address of a server that gives these answers, one after the other, whatever it is asked."""
    waiting = iter(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = next(waiting)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815  # the name that http.server looks for

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_that_does_not_know_the_way() -> None:
    with answering((404, b"404 page not found")) as url:
        result = imported(url)
    assert result.exit_code == 2
    assert f"{url}/api/v1/job/ answered 404: 404 page not found" in result.output


TAKEN = json.dumps({"imported": [f"{number}" for number in range(500)], "refused": {}}).encode()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((503, b'{"error": "the daemon is stopping"}'), "answered 503: the daemon is stopping"),
        ((405, b"<html>"), "answered 405: <html>"),
        ((200, b'{"jobs": {}}'), "does not answer as a daemon of this program"),
    ],
)
def test_an_import_that_stops_says_how_far_it_came(answer: tuple[int, bytes], said: str) -> None:
    jobs = {f"{number}": job() for number in range(700)}
    with answering((200, TAKEN), answer) as url:
        result = imported("-", "--to", url, stdin=json.dumps({"jobs": jobs}).encode())
    assert result.exit_code == 1
    assert f"500 of 700 jobs taken into {url}" in result.stdout
    assert "the import stopped: " in result.stderr
    assert said in result.stderr
