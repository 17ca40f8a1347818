"""`kala token`."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kala.cli import main
from kala.roles import Role
from kala.tokens import FORM, Tokens, read_file, read_line

NOW = 1_800_000_000_000_000


def called(*args: str, **environment: str) -> Result:
    return CliRunner().invoke(main, ["token", *args], env=environment)


def test_a_new_token_is_printed_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    result = called("new", "--name", "ci", "--role", "run", "--tokens-file", str(path))
    assert result.exit_code == 0, result.output
    secret = result.stdout.strip()
    assert FORM.fullmatch(secret)
    assert secret not in path.read_text() + result.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    found = Tokens(str(path)).find(secret, NOW)
    assert found is not None
    assert (found.name, found.role, found.until) == ("ci", Role.RUN, None)


def test_without_a_file_the_line_is_told_apart(tmp_path: Path) -> None:
    result = called("new", "--name", "ci", "--role", "read", "--for", "P90D")
    assert FORM.fullmatch(result.stdout.strip())
    token = read_line(result.stderr.strip())
    assert (token.name, token.role) == ("ci", Role.READ)
    assert token.until is not None


def test_the_file_may_come_from_a_variable(tmp_path: Path) -> None:
    path = str(tmp_path / "tokens")
    for name, role in (("one", "read"), ("two", "admin")):
        assert called("new", "--name", name, "--role", role, KALA_TOKENS_FILE=path).exit_code == 0
    assert called("list", KALA_TOKENS_FILE=path).stdout.split() == [
        "NAME",
        "ROLE",
        "UNTIL",
        "one",
        "read",
        "never",
        "two",
        "admin",
        "never",
    ]
    assert called("revoke", "one", KALA_TOKENS_FILE=path).exit_code == 0
    assert [token.name for token in read_file(Path(path))] == ["two"]


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["new", "--name", "a b", "--role", "run"], 2, "--name: 'a b' is not a name"),
        (["new", "--name", "a", "--role", "root"], 2, "--role"),
        (["new", "--name", "a"], 2, "--role"),
        (["new", "--name", "a", "--role", "run", "--for", "3 days"], 2, "--for '3 days': not a duration"),
        (["new", "--name", "there", "--role", "run", "--tokens-file", "{file}"], 5, "there is a token there already"),
        (["new", "--name", "a", "--role", "run", "--tokens-file", "{file}/x"], 2, "cannot be written"),
        (["revoke", "none", "--tokens-file", "{file}"], 4, "there is no token none in"),
        (["revoke", "none"], 2, "which file?"),
        (["list"], 2, "which file?"),
        (["list", "--tokens-file", "{file}.no"], 2, "cannot be read"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, args: list[str], code: int, said: str) -> None:
    path = tmp_path / "tokens"
    assert called("new", "--name", "there", "--role", "read", "--tokens-file", str(path)).exit_code == 0
    before = path.read_text()
    result = called(*[arg.format(file=path) for arg in args])
    assert result.exit_code == code, result.output
    assert said in result.output
    assert path.read_text() == before
