"""Notifications over real HTTP: what counts as taken, what errors give away, and a real daemon that is killed."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from daemon_process import API, KalaProcess
from http_servers import Answer, Peer, Seen, Server, connections, fixed, serving

from kala import notices
from kala.notices import poster

SECRET = "s3cret"
HEADERS = {"X-Token": [SECRET], "Idempotency-Key": ["i"]}


async def hang(peer: Peer, seen: Seen) -> None:
    await trio.sleep_forever()


async def hang_up(peer: Peer, seen: Seen) -> None:
    await peer.stream.aclose()


def posted(url: str, answer: Answer, headers: dict[str, list[str]] = HEADERS) -> tuple[str, Server]:
    """One post to a server of its own; PORT in `url` is its port."""

    async def main() -> tuple[str, Server]:
        async with serving({"/hook": answer, "/other": fixed(200)}) as server, connections() as made:
            return await poster(made)(url.replace("PORT", str(server.port)), headers, b'{"a":1}'), server

    return trio.run(main)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(fixed(200, b"fine"), "", id="200"),
        pytest.param(fixed(204), "", id="204"),
        pytest.param(fixed(299), "", id="299"),
        pytest.param(fixed(500, b"oh"), "answered 500, expected 2xx", id="500"),
        pytest.param(fixed(404), "answered 404, expected 2xx", id="404"),
        pytest.param(fixed(302, b"", "Location: /other"), "answered 302, expected 2xx", id="a redirect"),
        pytest.param(fixed(307, b"", "Location: /other"), "answered 307, expected 2xx", id="a redirect of a POST"),
        pytest.param(hang_up, "no proper answer from 127.0.0.1:PORT: it has closed", id="no answer"),
        pytest.param(hang, "timed out after 2 s", id="none in time"),
    ],
)
def test_any_answer_of_2xx_takes_it(answer: Answer, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "TIMEOUT", 2 if answer is hang else 30)
    came, server = posted("http://127.0.0.1:PORT/hook", answer)
    assert came.startswith(error.replace("PORT", str(server.port)))
    assert bool(came) == bool(error)
    (seen,) = server.requests
    assert (seen.method, seen.target, seen.body) == ("POST", "/hook", b'{"a":1}')
    assert seen.values("content-type") == ["application/json"]
    assert seen.values("x-token") == [SECRET]
    assert seen.values("idempotency-key") == ["i"]
    assert seen.values("user-agent")[0].startswith("kala/")


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        pytest.param(f"http://me:{SECRET}@127.0.0.1:1/{SECRET}?key={SECRET}", {}, id="nobody listens"),
        pytest.param(f"http://me:{SECRET}@127.0.0.1:PORT/{SECRET}", {}, id="refused"),
        pytest.param(f"ftp://me:{SECRET}@127.0.0.1/{SECRET}", {}, id="no URL to be called"),
        pytest.param(f"http://127.0.0.1:PORT/{SECRET}", {"X": [f" {SECRET}"]}, id="no header to be sent"),
    ],
)
def test_errors_keep_secrets(url: str, headers: dict[str, list[str]]) -> None:
    came, server = posted(url, fixed(200), headers)
    assert came
    assert SECRET not in came
    assert notices.server_of(url).count(SECRET) == 0
    for seen in server.requests:
        assert seen.values("authorization")[0].startswith("Basic ")


# A real daemon.


class Told:
    """What came to a server."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def __call__(self, kind: str) -> list[dict[str, Any]]:
        bodies = [json.loads(seen.body) for seen in list(self.server.requests)]
        return [body for body in bodies if body["type"] == kind]


def with_server(answers: dict[str, Answer], story: Callable[[Told], None]) -> None:
    """Real servers are of this process, daemons and who talks to them of a thread and others."""

    async def main() -> None:
        async with serving(answers) as server:
            await trio.to_thread.run_sync(partial(story, Told(server)))

    trio.run(main)


def first(*answers: Answer) -> Answer:
    """These, one after another; the last for all further ones."""
    left = list(answers)

    async def answer(peer: Peer, seen: Seen) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(peer, seen)

    return answer


@pytest.mark.slow
def test_a_failure_and_the_recovery_are_posted(tmp_path: Path) -> None:
    def story(told: Told) -> None:
        with KalaProcess(tmp_path) as kala:
            target = {"url": f"{told.server.url}/hook", "on": ["failure", "recovery"], "headers": {"X-Token": [SECRET]}}
            job = kala.create(
                name="nightly", command=f"test -e {tmp_path}/there", labels={"team": "a"}, notify=[target]
            )
            kala.post(f"{API}/job/start/{job}/")
            kala.wait_for(lambda: told("failure"))
            (tmp_path / "there").touch()
            kala.post(f"{API}/job/start/{job}/")
            kala.wait_for(lambda: told("recovery"))
            ((failure,), (recovery,)) = told("failure"), told("recovery")
            assert failure["job"] == {"id": job, "name": "nightly", "owner": "", "labels": {"team": "a"}}
            assert failure["run"]["state"] == "failed"
            assert failure["run"]["attempts"][0]["exit_code"] == 1
            assert recovery["run"]["state"] == "succeeded"
            assert SECRET not in kala.log()
        assert [seen.values("x-token") for seen in told.server.requests] == [[SECRET]] * 2

    with_server({"/hook": fixed(200)}, story)


@pytest.mark.slow
def test_what_is_owed_survives_refusals_and_kill_9(tmp_path: Path) -> None:
    """Given a server that refuses a failure twice, and a daemon that is killed then, with a run on: it comes again,
    with the same id, from the next daemon, and so does what was not sent at all, and that the run was lost."""

    def story(told: Told) -> None:
        with KalaProcess(tmp_path) as kala:
            hook = {"url": f"{told.server.url}/hook?key={SECRET}", "on": ["failure", "lost"]}
            kala.create(name="long", command="sleep 100", schedule="", notify=[hook])
            failing = kala.create(name="failing", command="false", notify=[hook])
            kala.wait_for(lambda: len(kala.descendants()) == 1)
            kala.post(f"{API}/job/start/{failing}/")
            kala.wait_for(lambda: len(told("failure")) == 1)
            # while that one is refused, another becomes owed
            kala.post(f"{API}/job/start/{failing}/")
            kala.wait_for(lambda: len(told("failure")) == 2)
            assert "notification not taken yet" in kala.log()
            kala.kill()
            log = kala.log()
            kala.start()
            kala.wait_for(lambda: len(told("failure")) == 3)
            kala.wait_for(lambda: told("lost"))
            assert len({one["id"] for one in told("failure")}) == 1
            assert len({seen.values("idempotency-key")[0] for seen in told.server.requests}) == 2
            assert [one["job"]["name"] for one in told("lost")] == ["long"]
            assert SECRET not in log + kala.log()
            # the second failure is owed still: it may go a minute after the first was taken
            status = kala.get(f"{API}/job/{failing}/").json["job"]["metadata"]
            assert status["error_count"] == 2

    with_server({"/hook": first_of_failures(fixed(500), fixed(500), fixed(200))}, story)


def first_of_failures(*answers: Answer) -> Answer:
    refuse = first(*answers)

    async def answer(peer: Peer, seen: Seen) -> None:
        await (refuse if json.loads(seen.body)["type"] == "failure" else fixed(200))(peer, seen)

    return answer
