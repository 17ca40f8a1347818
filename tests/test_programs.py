"""Finding programs, what they are given, and why they cannot be started."""

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import run
from processes import way as way

from kala.processes import programs, spawn
from kala.processes.programs import Environment
from kala.states import State

pytestmark = pytest.mark.usefixtures("way")


@dataclass(frozen=True)
class Refusal:
    argv: tuple[str, ...]
    error: str
    options: Mapping[str, Any] | None = None


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "plain").write_text("no program")
    scripts = {"text": "no program", "lost": "#!/nowhere/interpreter\n", "here": "#!/bin/sh\necho found $0"}
    for name, content in scripts.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    return tmp_path


REFUSALS = {
    "no words": Refusal((), "the command is empty"),
    "an empty word": Refusal(("",), "the command is empty"),
    "not on PATH": Refusal(("no-such-thing",), "no such program: no-such-thing"),
    "no such path": Refusal(("/no/such/thing",), "no such program: /no/such/thing"),
    "a file for a folder": Refusal(("{files}/plain/x",), "no such program: {files}/plain/x"),
    "a folder": Refusal(("/etc",), "not executable: /etc"),
    "not executable": Refusal(("{files}/plain",), "not executable: {files}/plain"),
    "not executable on PATH": Refusal(("plain",), "not executable: plain", {"environment": {"PATH": "{files}"}}),
    "no program": Refusal(("{files}/text",), "not a program of this system, nor a script with a #! line: {files}/text"),
    "no interpreter": Refusal(("{files}/lost",), "the interpreter of this program is missing: {files}/lost"),
    "no directory": Refusal(("true",), "no such directory: {files}/none", {"directory": "{files}/none"}),
    "too long": Refusal(("true", "x" * 3_000_000), "argument list or environment too long"),
    "NUL": Refusal(("echo", "a\0b"), "an argument holds a NUL byte, which no program can be given: 'a\\x00b'"),
    "no encoding": Refusal(("echo", "\ud800"), "an argument cannot be encoded: '\\ud800'"),
    "a variable's name": Refusal(
        ("true",), "not a name for an environment variable: 'A=B'", {"environment": {"A=B": "1"}}
    ),
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_started_fails_with_a_sentence(case: Refusal, files: Path) -> None:
    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(one) for key, one in value.items()}
        return value.replace("{files}", str(files))

    attempt, output = run(*map(filled, case.argv), **filled(dict(case.options or {})))
    assert (attempt.state, attempt.error) == (State.FAILED, filled(case.error))
    assert output == attempt.error.encode()
    assert attempt.output_size == len(output)
    assert attempt.exit_code is None


def test_limits_of_the_host_are_failures_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    spawner = next(spawn.threads())
    for number, part in {errno.EAGAIN: "EAGAIN", errno.ENOMEM: "no memory is left", errno.EMFILE: "EMFILE"}.items():

        def refuse(*_: object, number: int = number) -> int:
            raise OSError(number, "refused")

        monkeypatch.setattr(spawner, "_launch", refuse)
        attempt, _ = run("true")
        assert attempt.state == State.FAILED
        assert part in attempt.error


def test_a_bug_in_starting_is_raised_in_its_own_run_only(monkeypatch: pytest.MonkeyPatch) -> None:
    spawner = next(spawn.threads())
    with monkeypatch.context() as patch:
        patch.setattr(spawner, "_launch", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run("true")
    assert run("true")[0].state == State.SUCCEEDED


def test_programs_are_found_by_the_path_of_their_own_environment(files: Path) -> None:
    here = str(files / "here")
    assert run("here", environment={"PATH": f"/nowhere:{files}"})[1] == f"found {here}\n".encode()
    assert run("./here", directory=str(files))[1] == b"found ./here\n"
    # a relative entry is below the directory in which it runs
    assert run("here", environment={"PATH": ".:/bin"}, directory=str(files))[1] == f"found {here}\n".encode()
    assert run("pwd", directory=str(files))[1] == f"{files}\n".encode()
    assert run("true", environment={})[0].state == State.SUCCEEDED
    # it is noticed that what was found before has gone
    (files / "here").unlink()
    assert run("here", environment={"PATH": f"/nowhere:{files}"})[0].error == "no such program: here"


def test_the_environment_is_the_one_given_and_nothing_else() -> None:
    base = Environment({"PATH": "/usr/bin:/bin", "A": "1", "B": "2"})
    for environment in (base.extended({"B": "ä", "C": "\udcff"}), {"PATH": "/bin", "A": "1", "B": "ä", "C": "\udcff"}):
        _, output = run("/usr/bin/env", environment=environment)
        lines = output.splitlines()
        assert {b"A=1", "B=ä".encode(), b"C=\xff"} <= set(lines)
        assert len(lines) == 4
        assert dict(environment)["B"] == "ä"
    assert base["B"] == "2"
    assert len(base) == 3


NAMES = st.dictionaries(st.sampled_from("ABCDEFGH"), st.text(st.characters(exclude_characters="\0", codec="utf-8")))


@given(NAMES, st.lists(NAMES, max_size=3))
def test_what_is_encoded_once_is_what_is_encoded_each_time(base: dict[str, str], more: list[dict[str, str]]) -> None:
    environment, plain = Environment(base), dict(base)
    for one in more:
        before = dict(environment)
        extended, plain = environment.extended(one), {**plain, **one}
        assert dict(environment) == before
        environment = extended
    assert (list(environment.items()), len(environment)) == (list(plain.items()), len(plain))
    assert environment.entries().all() == programs.entries(plain).all()
    assert environment.entries().all() == [f"{name}={value}".encode() for name, value in plain.items()]
