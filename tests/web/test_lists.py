"""Lists: whole, in pages, packed, large; and imports, which take them."""

import gzip
import json
import socket
import time

import httpx2
import pytest
import trio

from kala.job import Record
from kala.web.app import IMPORT_LIMIT
from kala.web.lists import Lists
from kala.wire.jobjson import JobObject

from .server import DEADLINE, FUTURE, Server, request, until


def test_delete_all_and_the_empty_list(either: Server) -> None:
    for _ in range(3):
        either.create()
    assert either.ask("DELETE", "/api/v1/job/all").status == 204
    assert either.ask("GET", "/api/v1/job/").json == {"jobs": {}}
    assert either.ask("GET", "/api/v1/job/?limit=5").json == {"jobs": {}, "next": None}


def test_the_list_is_whole_in_order_and_valid_while_jobs_come_and_go(either: Server) -> None:
    ids = [either.create() for _ in range(120)]
    answer = either.ask("GET", "/api/v1/job/")
    assert list(answer.json["jobs"]) == ids
    # pages of it join to the whole
    pages: list[str] = []
    after: str | None = ""
    while after is not None:
        page = either.ask("GET", f"/api/v1/job/?limit=50{f'&after={after}' if after else ''}").json
        pages += page["jobs"]
        after = page["next"]
    assert pages == ids
    # and one that holds all says that it was all
    assert either.ask("GET", "/api/v1/job/?limit=120").json["next"] is None
    assert either.ask("GET", "/api/v1/job/?limit=119").json["next"] == ids[118]


class Passes(trio.abc.Instrument):
    """How often a loop has gone round."""

    count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


@pytest.mark.slow
def test_a_list_of_ten_thousand_is_fast_and_does_not_hold_others_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given 10,000 jobs
    job = {"name": "j", "id": "", "command": "true", "schedule": FUTURE}
    jobs = {f"{number:08}-0000-4000-8000-000000000000": job for number in range(10_000)}
    imported = server.ask("POST", "/api/v1/job/import/", {"jobs": jobs})
    assert len(imported.json["imported"]) == 10_000
    came: set[int] = set()
    passes, made = Passes(), Lists._object

    def noted(lists: Lists, record: Record) -> JobObject:
        came.add(passes.count)
        return made(lists, record)

    monkeypatch.setattr(Lists, "_object", noted)
    server.call(trio.lowlevel.add_instrument, passes)
    # when the list is read, then that takes little: 0.15 s of a processor here
    begun = time.process_time()
    answer = server.ask("GET", "/api/v1/job/")
    assert time.process_time() - begun < 5
    assert len(answer.json["jobs"]) == 10_000
    # and others have their turn in between
    assert len(came) >= 50


def test_answers_are_packed_when_asked_for(either: Server) -> None:
    job = either.create(command="true " + "x" * 3000)
    for path in (f"/api/v1/job/{job}/", "/api/v1/job/", "/webui/static/0/base.js"):
        plain = either.ask("GET", path)
        packed = either.ask("GET", path, Accept_Encoding="br, gzip;q=0.5")
        assert (plain.headers["Content-Encoding"], packed.headers["Content-Encoding"]) == (None, "gzip")
        assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
        assert gzip.decompress(packed.body) == plain.body
        assert len(packed.body) < len(plain.body)
        assert either.ask("GET", path, Accept_Encoding="gzip;q=0").headers["Content-Encoding"] is None
        assert either.ask("HEAD", path, Accept_Encoding="gzip").body == b""
    # what is small is not
    assert either.ask("GET", "/healthz", Accept_Encoding="gzip").headers["Content-Encoding"] is None
    # and a client that packs for itself understands it
    with httpx2.Client(base_url=either.urls[0]) as client:
        assert client.get("/api/v1/job/").json()["jobs"][job]["id"] == job


def test_an_import_takes_what_a_list_answers(either: Server) -> None:
    # given what another server lists: a job that can be taken, and two that cannot
    job = either.create()
    listed = either.ask("GET", "/api/v1/job/").json
    either.ask("DELETE", "/api/v1/job/all/")
    good = listed["jobs"][job]
    listed["jobs"]["11111111-0000-4000-8000-000000000000"] = {**good, "schedule": "nonsense"}
    listed["jobs"]["22222222-0000-4000-8000-000000000000"] = 7
    # when it is imported
    report = either.ask("POST", "/api/v1/job/import/", listed)
    # then the one is there with its id, and the others are refused with the reason
    assert report.status == 200
    assert report.json["imported"] == [job]
    assert set(report.json["refused"]) == set(listed["jobs"]) - {job}
    assert "schedule" in report.json["refused"]["11111111-0000-4000-8000-000000000000"]
    assert either.ask("GET", f"/api/v1/job/{job}/").json["job"]["name"] == good["name"]


def test_imports_are_large_and_one_at_a_time(either: Server) -> None:
    # given an import of which a part has come
    body = json.dumps({"jobs": {}}).encode()
    first = socket.create_connection(either.address, timeout=DEADLINE)
    line = b"POST /api/v1/job/import/ HTTP/1.1"
    first.sendall(request(line, b"Transfer-Encoding: chunked") + b"%x\r\n%s\r\n" % (len(body), body))
    until(lambda: bool(either.app.under_way))
    # then another is told to come back, and other requests are not
    second = either.ask("POST", "/api/v1/job/import/", body)
    assert (second.status, second.headers["Retry-After"]) == (503, "5")
    either.create()
    # and when the first has come whole, the next is taken
    first.sendall(b"0\r\n\r\n")
    assert first.recv(65_536).startswith(b"HTTP/1.1 200")
    first.close()
    until(lambda: not either.app.under_way)
    assert either.ask("POST", "/api/v1/job/import", body).json == {"imported": [], "refused": {}}
    # but none that is larger than the limit
    connection = either.connect()
    connection.putrequest("POST", "/api/v1/job/import/")
    connection.putheader("Content-Length", str(IMPORT_LIMIT + 1))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
