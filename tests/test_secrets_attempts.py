"""Attempts with secrets, made by a real runner: who gets them, and who sees nothing of them."""

import logging
import os
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
from http_servers import Peer, Seen, Server, connections, fixed, serving

from kala import runner as module
from kala.calls.connections import Connections
from kala.clock import Clock
from kala.hub import Hub
from kala.job import Attempt, Job, Record, Remote, Run
from kala.notices import poster
from kala.outputs import Outputs
from kala.runner import Runner
from kala.secrets import Secrets, Withheld
from kala.states import State, Trigger
from kala.stop import Stop

CANARY = "correct-horse-battery"
VARIABLES = {"KALA_SECRET_TOKEN": CANARY, "KALA_SECRET_LINES": f"{CANARY}\nsecond", "KALA_SECRET_PIN": "1234"}
TOKEN = {"TOKEN": "secret:token"}


def runner(made: Connections, environment: Mapping[str, str] | None = None) -> Runner:
    clock = Clock()
    return Runner(
        clock,
        node="here",
        environment=os.environ | dict(environment or {}),
        output_limit=65_536,
        most_output=lambda: 65_536,
        outputs=Outputs(clock, Hub()),
        connections=made,
        children=lambda job_id: None,
        secrets=Secrets("", VARIABLES),
    )


def attempted(**members: Any) -> tuple[Attempt, str]:
    """The attempt of a job, and what is kept of its output. Neither has a secret in it."""

    async def main() -> tuple[Attempt, bytes]:
        async with connections() as made:
            run = Run("run", "job", 0, Trigger.MANUAL, State.CLAIMED, 0)
            job = Job("job", **members)
            return await runner(made, VARIABLES).attempt(Record("job", job, 0), run, Stop())

    attempt, output = trio.run(main)
    assert CANARY.encode() not in output
    assert CANARY not in attempt.error
    return attempt, output.decode()


def test_a_program_gets_it_and_what_it_prints_of_it_is_masked(tmp_path: Path) -> None:
    file = tmp_path / "got"
    command = f'printf %s "$TOKEN" > {file}; echo "<$TOKEN>"; printenv TOKEN; printf %s "${{TOKEN%?}}"'
    attempt, output = attempted(command=command, shell=True, environment=TOKEN | {"OTHER": "other"})
    assert attempt.state is State.SUCCEEDED
    assert file.read_text() == CANARY
    assert output == f"<***>\n***\n{CANARY[:-1]}"  # what was begun and not ended is no secret
    assert attempt.output_size == len(output)


def test_it_is_masked_in_whatever_pieces_it_is_printed() -> None:
    pieces = " ".join(f"'{letter}'" for letter in CANARY)
    command = f"for piece in {pieces}; do printf %s $piece; sleep 0.01; done; printf ' 1234'"
    attempt, output = attempted(command=command, shell=True, environment=TOKEN | {"PIN": "secret:pin"})
    assert (output, attempt.output_size) == ("*** 1234", 8)  # too short to be looked for


def test_no_process_inherits_the_variables_of_secrets() -> None:
    _, output = attempted(command="env")
    assert "KALA_SECRET" not in output
    _, output = attempted(command="env", environment=TOKEN)
    assert "KALA_SECRET" not in output
    assert "TOKEN=***\n" in output


SEEN = "and all users of this host can see arguments"


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("echo $TOKEN", f"$TOKEN is a secret, {SEEN}"),
        ("echo x${TOKEN}y", f"$TOKEN is a secret, {SEEN}"),
        ('echo "$PIN"', f"$PIN is a secret, {SEEN}"),
        ("echo `echo $TOKEN`", f"$TOKEN is a secret, {SEEN}"),
        ("echo x`printenv TOKEN`y", f"printenv in backticks printed a secret, {SEEN}"),
        ("echo `echo \\`printenv TOKEN\\``", f"printenv in backticks printed a secret, {SEEN}"),
        ("`printenv TOKEN`", f"printenv in backticks printed a secret, {SEEN}"),
    ],
)
def test_it_never_becomes_an_argument(command: str, error: str, tmp_path: Path) -> None:
    environment = TOKEN | {"PIN": "secret:pin"}
    attempt, output = attempted(command=f"{command} `touch {tmp_path}/ran`", environment=environment)
    assert attempt.state is State.FAILED
    assert attempt.error.startswith(error)
    assert 'set "shell": true, or let the program read the variable' in attempt.error
    assert output == attempt.error
    assert "$" not in error or not (tmp_path / "ran").exists()  # it is known before anything is run


def test_other_variables_are_expanded_as_ever() -> None:
    assert attempted(command="echo $OTHER secret:token", environment=TOKEN | {"OTHER": "o"})[1] == "o secret:token\n"


def test_a_secret_that_is_not_there_fails_the_attempt() -> None:
    attempt, output = attempted(command="echo ran", environment={"A": "secret:none"})
    error = "secret:none is not there: there is no variable KALA_SECRET_NONE"
    assert (attempt.state, attempt.error, output) == (State.FAILED, error, error)


def test_errors_are_masked() -> None:
    """Given a command that names the value itself, for which it needs no secret."""
    attempt, output = attempted(command=f"/none/{CANARY}", environment=TOKEN)
    assert (attempt.error, output) == ("no such program: /none/***",) * 2
    assert attempt.output_size == len(output)
    long = "/" + "x" * 70 + CANARY
    attempt, _ = attempted(command=long, environment=TOKEN)
    assert attempt.error.endswith("x***…")


# Calls.


async def echo(peer: Peer, seen: Seen) -> None:
    """Answers with what came."""
    lines = "".join(f"{name}: {value}\n" for name, value in seen.headers)
    await peer.send(200, lines.encode() + seen.body)


def called(answers: dict[str, Any], path: str = "/", **members: Any) -> tuple[Attempt, str, Server, Server]:
    """A remote job's attempt with a server, beside which another is at 127.0.0.2; OTHER in answers is its address."""

    async def main() -> tuple[Attempt, bytes, Server, Server]:
        async with serving({}) as one, serving({"/": echo}, host="127.0.0.2") as other, connections() as made:
            there = f"http://127.0.0.2:{other.port}/"
            one.answers.update({at: make(there) if at == "/away" else make for at, make in answers.items()})
            run = Run("run", "job", 0, Trigger.MANUAL, State.CLAIMED, 0)
            delimiters = members.pop("delimiters", "")
            call = Remote(one.url + path, **members)
            job = Job("secret:token", type=1, remote=call, template_delimiters=delimiters)
            return *(await runner(made).attempt(Record("job", job, 0), run, Stop())), one, other

    attempt, output, one, other = trio.run(main)
    assert CANARY.encode() not in output
    assert CANARY not in attempt.error
    return attempt, output.decode(), one, other


HEADERS = {"Authorization": ["Bearer secret:token"], "X-Key": ["secret:token", "plain"], "X-Url": ["a/secret:token"]}


def test_a_server_gets_them_in_headers_and_body_and_its_echo_is_masked() -> None:
    attempt, output, one, _ = called({"/": echo}, method="POST", headers=HEADERS, body="secret:lines")
    (seen,) = one.requests
    assert seen.values("authorization") == [f"Bearer {CANARY}"]
    assert seen.values("x-key") == [CANARY, "plain"]
    assert seen.values("x-url") == ["a/secret:token"]
    assert seen.body == f"{CANARY}\nsecond".encode()
    assert attempt.state is State.SUCCEEDED
    assert "Authorization: Bearer ***\nX-Key: ***\nX-Key: plain\n" in output
    assert output.endswith("\n***")
    assert attempt.output_size == len(output)


def test_an_answer_that_ends_like_the_beginning_of_one_is_kept_whole() -> None:
    attempt, output, _, _ = called({"/": fixed(200, f"to {CANARY[:9]}".encode())}, headers=HEADERS)
    assert (output, attempt.output_size) == (f"to {CANARY[:9]}", 12)


def test_a_body_that_is_a_secret_is_no_template_and_no_template_makes_one() -> None:
    pytest.importorskip("gotpl")
    _, _, one, _ = called({"/": echo}, method="POST", body="secret:token", delimiters="{{ }}")
    assert one.requests[0].body == CANARY.encode()
    _, _, one, _ = called({"/": echo}, method="POST", body="{{ .Name }}", delimiters="{{ }}")
    assert one.requests[0].body == b"secret:token"


def away(status: int) -> Any:
    return lambda there: fixed(status, f"see {CANARY}".encode(), f"Location: {there}")


def test_another_host_gets_none() -> None:
    attempt, _, one, other = called({"/away": away(302)}, "/away", headers=HEADERS | {"X-Plain": ["p"]})
    assert attempt.state is State.SUCCEEDED
    assert one.requests[0].values("x-key") == [CANARY, "plain"]
    (seen,) = other.requests
    assert seen.values("x-plain") == ["p"]
    assert seen.values("authorization") + seen.values("x-key") == []
    assert CANARY not in str(seen)


def test_nor_a_body_that_is_one() -> None:
    attempt, _, _, other = called({"/away": away(307)}, "/away", method="POST", body="secret:token")
    assert attempt.error == f"redirected to 127.0.0.2:{other.port}, which is not to get a body that is a secret"
    assert other.requests == []
    attempt, _, _, other = called({"/away": away(303)}, "/away", method="POST", body="secret:token")
    assert [seen.method for seen in other.requests] == ["GET"]


def test_the_body_of_a_redirect_is_masked_as_well() -> None:
    attempt, output, _, _ = called({"/": fixed(302, f"see {CANARY}".encode(), "Location: /")}, headers=HEADERS)
    assert (attempt.error, output) == ("redirected more than 10 times", "see ***")


def test_what_a_server_says_in_errors_is_masked() -> None:
    bad = fixed(302, b"", f"Location: http://{'x' * 62}{CANARY}:port/")
    attempt, _, _, _ = called({"/": bad}, headers=HEADERS)
    assert attempt.error == f"redirected to what is not a URL: http://{'x' * 62}***…"


def test_what_no_header_may_have_is_told_without_it() -> None:
    attempt, _, one, _ = called({"/": echo}, headers={"X": ["secret:lines"]})
    assert attempt.error == "secret:lines cannot be in a header: it has several lines, or blanks at an end"
    assert one.requests == []


# What is unforeseen.


def test_a_bug_is_told_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(argv: Any, *, environment: Mapping[str, str], **rest: Any) -> Any:
        try:
            raise KeyError(environment["TOKEN"])
        except KeyError as error:
            raise ValueError(f"bad: {dict(environment)}") from error

    monkeypatch.setattr(module, "run_command", broken)
    with pytest.raises(Withheld) as raised:
        attempted(command="true", environment=TOKEN)
    told = "".join(traceback.format_exception(raised.value))
    assert CANARY not in told
    assert "in broken" in told
    assert "kala.secrets.Withheld: ValueError" in told
    with pytest.raises(ValueError, match="bad"):
        attempted(command="true", environment={"TOKEN": "none"})


# Notifications.


TAKEN = fixed(200)


def posted(headers: dict[str, list[str]], answer: Any = TAKEN) -> tuple[str, Server]:
    async def main() -> tuple[str, Server]:
        async with serving({"/": answer}) as server, connections() as made:
            return await poster(made, Secrets("", VARIABLES))(server.url + "/", headers, b"{}"), server

    return trio.run(main)


def test_a_notification_carries_them() -> None:
    error, server = posted(HEADERS)
    assert error == ""
    assert server.requests[0].values("authorization") == [f"Bearer {CANARY}"]
    assert server.requests[0].values("x-key") == [CANARY, "plain"]


async def garbage(peer: Peer, seen: Seen) -> None:
    await peer.stream.send_all(f"{CANARY} no HTTP\r\n\r\n".encode())


@pytest.mark.parametrize(
    ("header", "answer", "error"),
    [
        ("secret:none", fixed(200), "secret:none is not there: there is no variable KALA_SECRET_NONE"),
        ("secret:lines", fixed(200), "secret:lines cannot be in a header: it has several lines, or blanks at an end"),
        ("secret:token", garbage, "no proper answer from"),
    ],
)
def test_one_that_cannot_be_sent_is_told_without_them(header: str, answer: Any, error: str) -> None:
    came, _ = posted({"X": [header]}, answer)
    assert came.startswith(error)
    assert CANARY not in came


def test_a_bug_in_a_post_is_told_without_its_text(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(remote: Remote, more: Any) -> Any:
        raise ValueError(remote.headers)

    monkeypatch.setattr("kala.notices.request_headers", broken)
    with pytest.raises(ExceptionGroup) as raised:
        posted({"X": ["secret:token"]})
    assert raised.group_contains(Withheld, match="ValueError")
    logging.getLogger("test").error("bug", exc_info=raised.value)
    assert CANARY not in caplog.text
