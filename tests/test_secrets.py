"""Secrets: where they are looked for, what is refused, and what a job's definition may say of them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from kala.errors import Invalid, SettingsError
from kala.job import Job, Notify, Remote
from kala.secrets import SecretFault, Secrets, names_of, names_of_attempt
from kala.wire.jobread import read_job


def kept(folder: Path, name: str, data: bytes, mode: int = 0o600) -> Path:
    path = folder / name
    path.write_bytes(data)
    path.chmod(mode)
    return path


def value(secrets: Secrets, name: str) -> str:
    return trio.run(secrets.values, [name])[name]


def fault(secrets: Secrets, name: str) -> str:
    with pytest.raises(SecretFault) as raised:
        value(secrets, name)
    return str(raised.value)


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (b"word", "word"),
        (b"word\n", "word"),
        (b"word\r\n", "word"),
        (b"word\n\n", "word\n"),
        (b"word\r", "word\r"),
        (b" two\nlines \n", " two\nlines "),
        ("pässwörd\n".encode(), "pässwörd"),
        (b"x" * 65_536 + b"\n", "x" * 65_536),
    ],
)
def test_a_file_holds_a_secret(tmp_path: Path, data: bytes, read: str) -> None:
    kept(tmp_path, "db-password", data)
    assert value(Secrets(str(tmp_path)), "db-password") == read


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440, 0o640, 0o700])
def test_its_group_may_read_it(tmp_path: Path, mode: int) -> None:
    kept(tmp_path, "key", b"word", mode)
    assert value(Secrets(str(tmp_path)), "key") == "word"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o602, 0o666])
def test_a_file_that_others_can_read_or_its_group_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = kept(tmp_path, "key", b"word", mode)
    assert fault(Secrets(str(tmp_path), {"KALA_SECRET_KEY": "other"}), "key").startswith(
        f"secret:key: {path} has mode {mode:o}, with which"
    )


def folder(path: Path) -> None:
    path.mkdir()


def fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


def loop(path: Path) -> None:
    path.symlink_to(path)


def of(data: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        kept(path.parent, path.name, data)

    return make


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (folder, "is no file"),
        (fifo, "is no file"),
        (loop, "cannot be read: too many levels of symbolic links"),
        (of(b""), "is empty"),
        (of(b"\n"), "is empty"),
        (of(b"a\0b"), "holds a NUL"),
        (of(b"caf\xe9"), "is not text in UTF-8"),
        (of(b"x" * 65_537), "is larger than 65536 bytes"),
        (of(b"x" * 1_000_000), "is larger than 65536 bytes"),
    ],
)
def test_what_is_no_secret_is_named_but_not_shown(tmp_path: Path, make: Callable[[Path], None], why: str) -> None:
    make(tmp_path / "key")
    before = os.listdir("/proc/self/fd")
    assert fault(Secrets(str(tmp_path)), "key") == f"secret:key: {tmp_path}/key {why}"
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_links_as_kubernetes_makes_them_are_followed_and_a_change_is_seen_at_once(tmp_path: Path) -> None:
    for version in ("..1", "..2"):
        (tmp_path / version).mkdir()
        kept(tmp_path / version, "key", f"of {version}".encode(), 0o440)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "key").symlink_to("..data/key")
    secrets = Secrets(str(tmp_path))
    assert value(secrets, "key") == "of ..1"
    (tmp_path / "new").symlink_to("..2")
    (tmp_path / "new").rename(tmp_path / "..data")
    assert value(secrets, "key") == "of ..2"
    kept(tmp_path / "..2", "key", b"readable", 0o444)  # it is the file at the end that counts
    assert "has mode 444" in fault(secrets, "key")


def test_the_folder_goes_before_the_variables(tmp_path: Path) -> None:
    variables = {"KALA_SECRET_DB_PASS_WORD": "of a variable", "KALA_SECRET_EMPTY": "", "SECRET": "none"}
    secrets = Secrets(str(tmp_path), variables)
    assert value(secrets, "db-pass.word") == value(Secrets("", variables), "DB_pass-word") == "of a variable"
    kept(tmp_path, "db-pass.word", b"of a file")
    assert value(secrets, "db-pass.word") == "of a file"
    assert fault(secrets, "empty") == "secret:empty: the variable KALA_SECRET_EMPTY is empty"
    assert fault(Secrets("", {"KALA_SECRET_X": "caf\udce9"}), "x").endswith("is not text in UTF-8")


def test_where_it_was_looked_for_is_told(tmp_path: Path) -> None:
    assert (
        fault(Secrets(str(tmp_path)), "a.b")
        == f"secret:a.b is not there: there is neither {tmp_path}/a.b nor variable KALA_SECRET_A_B"
    )
    assert fault(Secrets(), "a") == "secret:a is not there: there is no variable KALA_SECRET_A"


def test_a_folder_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    for path in (tmp_path / "none", kept(tmp_path, "file", b"")):
        with pytest.raises(SettingsError, match="--secrets-folder"):
            Secrets(str(path))


# What a definition says.


def test_what_refers_to_secrets() -> None:
    environment = {"A": "secret:a", "B": "x secret:no", "C": "secret:a", "D": "xsecret:no"}
    notify = [Notify("http://x", headers={"X": ["secret:n", "Bearer secret:a"]})]
    job = Job("job", "true secret:no", environment=environment, notify=notify)
    assert (names_of_attempt(job), names_of(job)) == (["a"], ["a", "n"])
    call = Remote(
        "http://x/secret:no", body="secret:b", headers={"X": ["secret:x", "Basic  secret:y", "a b secret:no"]}
    )
    assert names_of_attempt(Job("job", type=1, remote=call)) == ["x", "y", "b"]
    assert names_of_attempt(Job("job", type=1, remote=Remote("http://x", body='{"a":"secret:no"}'))) == []


def sent(**members: Any) -> bytes:
    standard = {"name": "job", "command": "true", "schedule": "R/9000-01-01T00:00:00Z/P1D"}
    return msgspec.json.encode(standard | members)


REMOTE = {"type": 1, "command": ""}
NO_NAME = ["secret:", "secret:.hidden", "secret:..", "secret:a/b", "secret:a b", "secret:ä", "secret:" + "x" * 129]


@pytest.mark.parametrize("text", NO_NAME)
def test_what_is_meant_as_a_reference_and_is_none_is_a_fault(text: str) -> None:
    for path, members in {
        "environment.TOKEN": {"environment": {"TOKEN": text}},
        "remote_properties.headers": {
            **REMOTE,
            "remote_properties": {"url": "http://x", "headers": {"X": [f"Bearer {text}"]}},
        },
        "notify[0].headers": {"notify": [{"url": "http://x", "headers": {"X": [text]}}]},
    }.items():
        with pytest.raises(Invalid) as raised:
            read_job(sent(**members), now=0)
        assert list(raised.value.fields) == [path]
        assert "is no reference to a secret: write secret: and a name" in raised.value.fields[path]


def test_where_a_reference_means_nothing_there_is_a_warning() -> None:
    (warning,) = read_job(sent(command="mysql -p secret:db"), now=0).warnings
    assert "in a command means nothing" in warning
    url = {"url": "http://x/?key=secret:db"}
    (warning,) = read_job(sent(**REMOTE, remote_properties=url), now=0).warnings
    assert "in a URL means nothing" in warning
    fine = {"environment": {"A": "secret:" + "x" * 128, "B": "secret:_.-"}}
    assert read_job(sent(**fine), now=0).warnings == []
