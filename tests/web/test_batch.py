"""Many jobs in one request."""

import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from kala.errors import StoreUnavailable
from kala.web import batch
from kala.web.elements import LARGEST
from kala.wire.jobread import NewJob, read_job

from .server import DEADLINE, FUTURE, HASTY, LINGERING, Server, request, until

PATH = "/api/v1/job/batch/"
NDJSON = "application/x-ndjson"


def job(number: int = 0, **more: Any) -> dict[str, Any]:
    return {"name": f"job {number}", "command": "true", "schedule": FUTURE, **more}


def lines_of(jobs: Iterable[Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in jobs)


def sent(server: Server, body: bytes | Iterator[bytes], **headers: str) -> list[dict[str, Any]]:
    """What is answered, line by line."""
    connection = server.connect()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", PATH, body, named, encode_chunked=not isinstance(body, bytes))
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert (answer.status, answer.headers["Content-Type"]) == (200, NDJSON), text
    return [json.loads(line) for line in text.splitlines()]


def names(server: Server) -> list[str]:
    return [one["name"] for one in server.ask("GET", "/api/v1/job/").json["jobs"].values()]


@pytest.mark.parametrize(
    ("headers", "form"),
    [
        ({}, lambda jobs: json.dumps(jobs).encode()),
        ({}, lambda jobs: json.dumps(jobs, indent=4).encode()),
        ({"Content_Type": "application/json"}, lines_of),
        ({"Content_Type": f"{NDJSON}; charset=utf-8"}, lines_of),
        ({}, lambda jobs: lines_of(jobs).rstrip(b"\n")),
    ],
    ids=["array", "indented", "lines by their first character", "lines by their type", "no newline at the end"],
)
def test_each_is_made_or_refused_by_itself_and_answered_in_order(
    either: Server, headers: dict[str, str], form: Callable[[list[Any]], bytes]
) -> None:
    # given jobs, of which some cannot be made
    jobs = [job(0), job(1, schedule="x", retries=-1), 7, job(3, command="echo a | cat"), job(4, parent_jobs=["nosuch"])]
    # when they are sent together
    answers = sent(either, form(jobs), **headers)
    # then each has its answer, in order
    assert [one["line"] for one in answers] == [1, 2, 3, 4, 5]
    assert [list(one) for one in answers] == [
        ["line", "id"],
        ["line", "error", "fields"],
        ["line", "error", "fields"],
        ["line", "id", "warnings"],
        ["line", "error", "fields"],
    ]
    assert answers[1]["fields"].keys() == {"schedule", "retries"}
    assert answers[4]["fields"].keys() == {"parent_jobs[0]"}
    # and those that were made are there, with the server's owner
    listed = either.ask("GET", "/api/v1/job/").json["jobs"]
    assert [(one, listed[one]["name"], listed[one]["owner"]) for one in listed] == [
        (answers[0]["id"], "job 0", "me@example.org"),
        (answers[3]["id"], "job 3", "me@example.org"),
    ]


def test_many_come_in_groups_whatever_the_pieces_in_which_they_are_sent(either: Server) -> None:
    count = 2 * batch.GROUP + 50
    body = json.dumps([job(number) for number in range(count)]).encode()
    answers = sent(either, (body[at : at + 777] for at in range(0, len(body), 777)))
    assert [one["line"] for one in answers] == list(range(1, count + 1))
    assert names(either) == [f"job {number}" for number in range(count)]
    assert list(either.ask("GET", "/api/v1/job/").json["jobs"]) == [one["id"] for one in answers]


def test_of_large_ones_fewer_are_made_at_a_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a server that makes some 10 KB at a time, and jobs of which three are more
    monkeypatch.setattr(batch, "GROUP_BYTES", 10_000)
    commit, sizes = server.driver.commit, []

    def noted(elements: Any) -> Any:
        sizes.extend([len(elements)] if elements[0].kind == "job" else [])
        return commit(elements)

    monkeypatch.setattr(server.driver, "commit", noted)
    answers = sent(server, lines_of(job(number, command="x" * 4_000) for number in range(10)))
    assert [one["line"] for one in answers if "id" in one] == list(range(1, 11))
    assert sizes == [3, 3, 3, 1]


@pytest.mark.parametrize(
    ("body", "count", "said"),
    [
        (b"", 0, None),
        (b"\n \n", 0, None),
        (b"[]", 0, None),
        (b"[" + json.dumps(job()).encode() + b"," + json.dumps(job()).encode(), 1, (2, "breaks off")),
        (b"[" + json.dumps(job()).encode() + b",{'x'}," + json.dumps(job()).encode() + b"]", 1, (2, "not JSON")),
        (b"[" + json.dumps(job()).encode() + b"] more", 1, (2, "follows")),
        (lines_of([job(), job(1, command="x" * LARGEST), job()]), 1, (2, "larger than")),
        (b"[" * 100_000, 0, (1, "breaks off")),
        (b"[[" + b"[" * 100_000 + b"]" * 100_000 + b"]]", 0, (1, "not JSON")),
        (b" " * (2 * LARGEST), 0, (1, "larger than")),
    ],
)
@pytest.mark.parametrize("in_chunks", [False, True])
def test_where_it_cannot_be_cut_any_more_the_last_line_says_so_and_what_came_before_stands(
    server: Server, body: bytes, count: int, said: tuple[int, str] | None, in_chunks: bool
) -> None:
    pieces = (body[at : at + 50_000] for at in range(0, len(body), 50_000))
    answers = sent(server, pieces if in_chunks else body)
    if said is not None:
        last = answers.pop()
        assert (last["line"], said[1] in last["error"], list(last)) == (said[0], True, ["line", "error"])
    assert [list(one) for one in answers] == [["line", "id"]] * count
    assert len(names(server)) == count


@pytest.mark.parametrize("in_chunks", [False, True])
def test_a_line_that_is_no_json_is_refused_by_itself(server: Server, in_chunks: bool) -> None:
    body = lines_of([job(0)]) + b"\n\n{oops}\n\xff\xfe\n" + lines_of([job(1)]) + b'{"name":"j","comm'
    pieces = (body[at : at + 10] for at in range(0, len(body), 10))
    answers = sent(server, pieces if in_chunks else body)
    assert [(one["line"], "id" in one) for one in answers] == [(1, True), (4, False), (5, False), (6, True), (7, False)]
    assert all("not JSON" in one["error"] for one in answers if "id" not in one)
    assert names(server) == ["job 0", "job 1"]


def test_a_packed_body_is_refused(either: Server) -> None:
    answer = either.ask("POST", PATH, b"[]", Content_Encoding="gzip")
    assert answer.status == 415
    assert sent(either, b"[]", Content_Encoding="identity") == []


def test_one_at_a_time_and_others_are_told_to_come_back(either: Server) -> None:
    # given a batch of which a part has come
    first = socket.create_connection(either.address, timeout=DEADLINE)
    piece = lines_of([job(1)])
    first.sendall(
        request(b"POST /api/v1/job/batch HTTP/1.1", b"Transfer-Encoding: chunked")
        + b"%x\r\n%s\r\n" % (len(piece), piece)
    )
    # then what has come is soon made, though more is to come
    until(lambda: names(either) == ["job 1"])
    # and another batch is refused, while imports and other requests are not
    second = either.ask("POST", PATH, b"[]")
    assert (second.status, second.headers["Retry-After"]) == (503, "5")
    assert either.ask("POST", "/api/v1/job/import/", {"jobs": {}}).status == 200
    either.create()
    # and when the first has come whole, it is answered, and the next is taken
    first.sendall(b"0\r\n\r\n")
    answer = first.recv(65_536)
    while b"\r\n0\r\n\r\n" not in answer and (more := first.recv(65_536)):
        answer += more
    assert answer.startswith(b"HTTP/1.1 200")
    first.close()
    until(lambda: not either.app.under_way)
    assert sent(either, b"[]") == []


@pytest.mark.parametrize("reset", [False, True])
def test_of_a_client_that_breaks_off_what_was_whole_stands(server: Server, reset: bool) -> None:
    client = socket.create_connection(server.address, timeout=DEADLINE)
    piece = lines_of([job(number) for number in range(250)]) + b'{"name":"half'
    client.sendall(request(b"POST /api/v1/job/batch/ HTTP/1.1", b"Content-Length: 99999999") + piece)
    if reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        until(lambda: len(names(server)) == 250)  # a reset may overtake what was sent before it
    client.close()
    until(lambda: len(names(server)) == 250)
    until(lambda: not server.app.under_way)
    assert names(server) == [f"job {number}" for number in range(250)]


def test_a_client_that_sends_all_before_it_reads_is_not_waited_for(server: Server) -> None:
    # given more answers than fit between the two
    body = lines_of(7 for _ in range(60_000))
    client = socket.create_connection(server.address, timeout=DEADLINE)
    client.sendall(
        request(b"POST /api/v1/job/batch/ HTTP/1.1", b"Content-Length: %d" % len(body), b"Connection: close")
    )
    client.sendall(body)
    answer = b""
    while data := client.recv(1 << 20):
        answer += data
    client.close()
    assert answer.count(b'"line":') == 60_000


def test_a_client_that_goes_on_sending_after_the_answer_reads_it(running: Callable[..., Server]) -> None:
    # given a body that is no JSON from its beginning, and long
    server = running(LINGERING)
    client = socket.create_connection(server.address, timeout=DEADLINE)
    client.sendall(request(b"POST /api/v1/job/batch/ HTTP/1.1", b"Content-Length: 3000000"))
    client.sendall(b"[" + b"oops,\n" * 400_000)
    answer = b""
    while data := client.recv(65_536):
        answer += data
    client.close()
    assert b'{"line":1,"error":' in answer


def test_a_sender_may_take_its_time_but_not_be_silent(
    running: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a server that allows for a body one second, and of a batch three of silence
    server = running(HASTY)
    assert server.limits.body == 1
    monkeypatch.setattr(batch, "IDLE", 3.0)
    monkeypatch.setattr(batch, "SOON", 0.1)
    # when one comes slowly for longer than that, then all of it is taken
    began = time.monotonic()

    def slowly() -> Iterator[bytes]:
        for number in range(16):
            threading.Event().wait(0.2)
            yield lines_of([job(number)])

    answers = sent(server, slowly())
    assert time.monotonic() - began > 3.1
    assert len(answers) == len(names(server)) == 16
    # and one that says nothing any more is answered what came of the rest
    monkeypatch.setattr(batch, "IDLE", 0.6)
    client = socket.create_connection(server.address, timeout=DEADLINE)
    piece = lines_of([job(16)])
    client.sendall(request(b"POST /api/v1/job/batch/ HTTP/1.1", b"Content-Length: 9999") + piece)
    answer = b""
    while data := client.recv(65_536):
        answer += data
    client.close()
    assert b'"id":' in answer
    assert b'{"line":2,"error":"nothing came for 0.6 seconds"}' in answer


def test_while_the_database_is_away_nothing_is_made_and_it_is_told(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a database that is away: the batch is refused as a whole
    server.driver.away = StoreUnavailable("the disk is full")
    refused = server.ask("POST", PATH, [job()])
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    server.driver.away = None
    until(lambda: server.ask("GET", "/readyz").status == 200)
    # and one that goes away in between: the rest is, in its last line
    commit, commits = server.driver.commit, [0]

    def second_fails(elements: Any) -> Any:
        if elements[0].kind == "job":
            commits[0] += 1
            if commits[0] == 2:
                raise StoreUnavailable("the disk is full")
        return commit(elements)

    monkeypatch.setattr(server.driver, "commit", second_fails)
    answers = sent(server, json.dumps([job(number) for number in range(3 * batch.GROUP)]).encode())
    assert len(answers) == batch.GROUP + 1
    assert (answers[-1]["line"], answers[-1]["error"]) == (batch.GROUP + 1, "the disk is full")
    assert len(names(server)) == batch.GROUP


def test_the_next_are_read_while_those_before_are_committed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a database that takes a group only when more than that has been read
    count, read_on, commit = itertools.count(1), threading.Event(), server.driver.commit

    def read(data: bytes, **more: Any) -> NewJob:
        if next(count) > batch.GROUP:
            read_on.set()
        return read_job(data, **more)

    def commit_later(elements: Any) -> Any:
        assert elements[0].kind != "job" or read_on.wait(DEADLINE)
        return commit(elements)

    monkeypatch.setattr(batch, "read_job", read)
    monkeypatch.setattr(server.driver, "commit", commit_later)
    # then all are made, in order
    answers = sent(server, lines_of(job(number) for number in range(2 * batch.GROUP + 1)))
    assert [one["line"] for one in answers if "id" in one] == list(range(1, 2 * batch.GROUP + 2))
    assert names(server) == [f"job {number}" for number in range(2 * batch.GROUP + 1)]


def test_while_the_daemon_stops_it_is_refused(server: Server) -> None:
    waits = server.create(command="wait")
    server.ask("POST", f"/api/v1/job/start/{waits}/?wait=false")
    until(lambda: server.attempts == 1)
    server.call(server.scheduler.stop_starting)
    assert server.ask("POST", PATH, [job()]).status == 503


def test_answers_that_would_not_fit_end_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "ANSWERS", 30_000)
    answers = sent(server, lines_of(7 for _ in range(5_000)))
    last = answers.pop()
    assert last["line"] == len(answers) + 1 < 1000
    assert "another request" in last["error"]


def test_it_is_behind_the_gate(server: Server) -> None:
    assert server.ask("POST", PATH, [job()], Origin="http://evil.example").status == 403
    assert server.ask("POST", PATH, [job()], Host="evil.example").status == 403
    assert server.ask("GET", PATH).status == 404  # no job has this id
    assert names(server) == []
