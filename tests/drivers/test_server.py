"""Addresses of databases' servers, as they are given, and the files of TLS."""

import ssl
from pathlib import Path

import pytest

from kala.drivers.server import Server, Tls, read_address, tls_context
from kala.errors import SettingsError

SCHEMES = {"db": None, "dbs": True, "plain": False}


@pytest.mark.parametrize(
    ("given", "hosts", "path"),
    [
        ("", [("127.0.0.1", 77)], ""),
        ("host", [("host", 77)], ""),
        (" host:1 ", [("host", 1)], ""),
        (":1", [("127.0.0.1", 1)], ""),
        ("host:", [("host", 77)], ""),
        ("a,b:2,c", [("a", 77), ("b", 2), ("c", 77)], ""),
        ("host/base", [("host", 77)], "base"),
        ("host:1/a%2Fb", [("host", 1)], "a/b"),
        ("[::1]", [("::1", 77)], ""),
        ("[::1]:5/base", [("::1", 5)], "base"),
        ("fe80::1", [("fe80::1", 77)], ""),
        ("db://host", [("host", 77)], ""),
        ("DBS://host:1/", [("host", 1)], ""),
    ],
)
def test_hosts_and_paths(given: str, hosts: list[tuple[str, int]], path: str) -> None:
    address = read_address(Server(given), SCHEMES, 77)
    assert (list(address.hosts), address.path) == (hosts, path)


def test_a_url_says_the_rest() -> None:
    address = read_address(Server("dbs://m%40x:p%3Aw@host/base?a=1&b=x%20y&c="), SCHEMES, 77)
    assert (address.scheme, address.secure) == ("dbs", True)
    assert (address.username, address.password) == ("m@x", "p:w")
    assert address.options == {"a": "1", "b": "x y", "c": ""}
    assert address.place == "host:77/base"
    assert read_address(Server("[::1]:5,b"), SCHEMES, 77).place == "[::1]:5,b:77"
    assert [read_address(Server(f"{one}h"), SCHEMES, 1).secure for one in ("", "db://", "plain://")] == [
        None,
        None,
        False,
    ]


def test_settings_come_before_the_url() -> None:
    address = read_address(Server("db://me:mine@host", "you", "yours"), SCHEMES, 77)
    assert (address.username, address.password) == ("you", "yours")
    address = read_address(Server("db://me:mine@host", password="yours"), SCHEMES, 77)
    assert (address.username, address.password) == ("me", "yours")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("host:http", "'http' is not a port"),
        ("host:0", "'0' is not a port"),
        ("host:65536", "'65536' is not a port"),
        ("host:٣", "is not a port"),
        ("http://host", "it begins with http://, and may begin with db://, dbs://, plain://"),
        ("host/base?a", "it must read option=value"),
    ],
)
def test_what_cannot_be_read_is_named(given: str, said: str) -> None:
    with pytest.raises(SettingsError, match=r"^--jobdb-address: ") as caught:
        read_address(Server(given), SCHEMES, 77)
    assert said in str(caught.value)


def test_a_password_is_shown_nowhere() -> None:
    server = Server("db://me:hush@host:1/base", "you", "whisper")
    for shown in repr(server), str(server), f"{server}", read_address(server, SCHEMES, 1).place:
        assert "hush" not in shown
        assert "whisper" not in shown
    for wrong in "db://me:hush/hush@host", "db://:hush?hush@host/base":
        with pytest.raises(SettingsError, match="%2F") as caught:
            read_address(Server(wrong), SCHEMES, 1)
        assert "hush" not in str(caught.value)


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a certificate")
    text, missing = str(tmp_path / "text"), str(tmp_path / "missing")
    for tls, said in [
        (Tls(ca=missing), f"--jobdb-tls-capath: {missing} cannot be used: No such file"),
        (Tls(ca=text), f"--jobdb-tls-capath: {text} cannot be used"),
        (Tls(key=missing), "--jobdb-tls-keypath goes with --jobdb-tls-certpath"),
        (Tls(certificate=missing), f"--jobdb-tls-certpath: {missing} cannot be used: No such file"),
        (Tls(certificate=text, key=missing), f"--jobdb-tls-certpath: {text} and {missing} cannot be used"),
    ]:
        with pytest.raises(SettingsError) as caught:
            tls_context(tls)
        assert str(caught.value).startswith(said)
    assert not Tls()
    assert tls_context(Tls()).verify_mode is ssl.CERT_REQUIRED
