"""Tokens: what is kept of them, how files of them are read, and sessions."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala.clock import DAY, SECOND
from kala.errors import SettingsError
from kala.roles import Role
from kala.tokens import (
    FORM,
    Token,
    TokenExists,
    Tokens,
    change_file,
    new_token,
    read_file,
    read_line,
    read_lines,
    session_of,
    token_of,
)

NOW = 1_800_000_000 * SECOND
HASH = "sha256:" + "ab" * 32


def file_of(folder: Path, *lines: str, mode: int = 0o600) -> Path:
    path = folder / "tokens"
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(mode)
    return path


def test_roles_include_those_before_them() -> None:
    table = {(role, needed): role.may(needed) for role in Role for needed in Role}
    assert table == {
        (Role.READ, Role.READ): True,
        (Role.READ, Role.RUN): False,
        (Role.READ, Role.ADMIN): False,
        (Role.RUN, Role.READ): True,
        (Role.RUN, Role.RUN): True,
        (Role.RUN, Role.ADMIN): False,
        (Role.ADMIN, Role.READ): True,
        (Role.ADMIN, Role.RUN): True,
        (Role.ADMIN, Role.ADMIN): True,
    }


def test_what_is_kept_is_not_the_token() -> None:
    secret, token = new_token("ci", Role.RUN)
    other, _ = new_token("ci", Role.RUN)
    assert FORM.fullmatch(secret)
    assert secret != other
    assert secret not in repr(token) + token.line()
    assert secret.removeprefix("kala_") not in token.line()


def test_a_token_is_found_until_it_ends(tmp_path: Path) -> None:
    (first, one), (second, two) = new_token("one", Role.READ), new_token("two", Role.ADMIN, NOW + SECOND)
    tokens = Tokens(str(file_of(tmp_path, "# who may come in", "", one.line(), two.line())))
    assert tokens.demanded
    assert tokens.find(first, NOW) == one
    assert tokens.find(second, NOW) == two
    assert tokens.find(second, NOW + SECOND) is None
    assert tokens.find(first[:-1], NOW) is None
    assert tokens.find(one.digest.hex(), NOW) is None  # who reads the file does not come in
    assert tokens.find("", NOW) is None
    assert tokens.find("\ud800", NOW) is None


def test_without_tokens_none_is_demanded() -> None:
    assert not Tokens().demanded
    assert Tokens().find("kala_" + "a" * 43, NOW) is None


def test_lines_of_a_variable_and_of_a_file_hold_together(tmp_path: Path) -> None:
    path = file_of(tmp_path, f"one read {HASH}")
    tokens = Tokens(str(path), f"two run {HASH}")
    assert {name for name in ("one", "two", "three") if tokens.named(name, NOW)} == {"one", "two"}
    with pytest.raises(SettingsError, match="have a name in common"):
        Tokens(str(path), f"one run {HASH}")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ci", "is not `name role sha256:hash`"),
        (f"ci run {HASH} 2027-01-01T00:00:00Z more", "is not `name role sha256:hash`"),
        (f"ci run {HASH[:-2]}", "is not `name role sha256:hash`"),
        (f"ci root {HASH}", "'root' is no role: read, run, admin"),
        (f"c:i run {HASH}", "'c:i' is not a name"),
        (f"{'c' * 65} run {HASH}", "is not a name"),
        (f"ci run {HASH} tomorrow", "'tomorrow' is not a moment"),
        (f"ci run {HASH} 2027-01-01T00:00:00", "is not a moment"),
        ("ci run kala_" + "x" * 43, "holds a token itself"),
    ],
)
def test_wrong_lines_are_named_by_their_number_and_not_shown(line: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_lines(f"one read {HASH}\n\n{line}", "here")
    assert str(caught.value).startswith("here: line 3: ")
    assert said in str(caught.value)
    assert "ab" * 31 not in str(caught.value)
    assert "x" * 43 not in str(caught.value)


def test_two_tokens_of_one_name_are_refused() -> None:
    with pytest.raises(SettingsError, match="line 2: there is a token one above"):
        read_lines(f"one read {HASH}\none run {HASH}", "here")


@pytest.mark.parametrize(
    ("mode", "taken"), [(0o600, True), (0o400, True), (0o640, True), (0o660, False), (0o644, False)]
)
def test_a_file_that_others_may_read_or_change_is_refused(tmp_path: Path, mode: int, taken: bool) -> None:
    path = file_of(tmp_path, f"one read {HASH}", mode=mode)
    if taken:
        assert [token.name for token in read_file(path)] == ["one"]
    else:
        with pytest.raises(SettingsError, match=f"others may read or change it \\(mode {mode:o}\\)"):
            read_file(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = file_of(tmp_path, f"one read {HASH}")
    os.chown(path, 4321, -1)
    with pytest.raises(SettingsError, match=r"belongs to another user \(4321\)"):
        read_file(path)


def test_a_file_that_is_not_there_or_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        Tokens(str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="holds no token, so that nobody could come in"):
        Tokens(str(file_of(tmp_path, "# nobody")))


def test_a_reload_that_fails_leaves_what_was(tmp_path: Path) -> None:
    secret, token = new_token("ci", Role.RUN)
    path = file_of(tmp_path, token.line())
    tokens = Tokens(str(path))
    path.write_text("what is this")
    with pytest.raises(SettingsError):
        tokens.reload()
    assert tokens.find(secret, NOW) == token
    assert tokens.holds(token, NOW)
    path.write_text(f"ci run {HASH}\n")
    tokens.reload()
    assert tokens.find(secret, NOW) is None
    assert not tokens.holds(token, NOW)  # the name is there, and is another's


def test_changing_a_file_keeps_comments_mode_and_others(tmp_path: Path) -> None:
    path = file_of(tmp_path, "# ours", f"one read {HASH}", f"two run {HASH}", mode=0o640)
    _, three = new_token("three", Role.ADMIN, NOW)
    change_file(path, add=[three], remove=["one"])
    assert path.read_text().splitlines() == ["# ours", f"two run {HASH}", three.line()]
    assert path.stat().st_mode & 0o777 == 0o640
    with pytest.raises(TokenExists):
        change_file(path, add=[three])
    assert [one.name for one in tmp_path.iterdir()] == ["tokens"]
    change_file(tmp_path / "new", add=[three])
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
    with pytest.raises(SettingsError, match="cannot be written"):
        change_file(tmp_path / "no" / "folder", add=[three])


@given(
    st.sampled_from(Role), st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True), st.none() | st.integers(0, 10**16)
)
def test_a_line_is_read_as_it_was_written(role: Role, name: str, until: int | None) -> None:
    _, token = new_token(name, role, until)
    assert read_line(token.line()) == token


# Sessions.


def sessions(tmp_path: Path) -> tuple[Token, Tokens]:
    _, token = new_token("me", Role.ADMIN)
    _, other = new_token("you", Role.READ)
    return token, Tokens(str(file_of(tmp_path, token.line(), other.line())))


def test_a_session_stands_for_its_token_until_it_ends(tmp_path: Path) -> None:
    token, tokens = sessions(tmp_path)
    session = session_of(token, NOW + DAY)
    assert token_of(session, tokens, NOW) == (token, NOW + DAY)
    assert token_of(session, tokens, NOW + DAY) is None
    assert token.digest.hex() not in session


def test_a_session_cannot_be_made_or_changed(tmp_path: Path) -> None:
    token, tokens = sessions(tmp_path)
    _, name, until, signature = session_of(token, NOW + DAY).split(":")
    wrong = [
        f"1:you:{until}:{signature}",
        f"1:{name}:{int(until) + 1}:{signature}",
        f"1:{name}:{until}:{signature[:-1]}",
        f"1:{name}:{until}:",
        f"2:{name}:{until}:{signature}",
        f"1:{name}:{until}:{signature}:x",
        f"1:none:{until}:{signature}",
        f"1:{name}:-1:{signature}",
        f"1:{name}:{'9' * 40}:{signature}",
        f"1:{name}:{until}:é",
        "",
        ":::",
    ]
    assert [token_of(one, tokens, NOW) for one in wrong] == [None] * len(wrong)


def test_a_session_ends_with_its_token(tmp_path: Path) -> None:
    token, tokens = sessions(tmp_path)
    session = session_of(token, NOW + DAY)
    _, renewed = new_token("me", Role.ADMIN)  # of the same name
    (tmp_path / "tokens").write_text(renewed.line())
    tokens.reload()
    assert token_of(session, tokens, NOW) is None
