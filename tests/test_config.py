"""Settings: where they come from, which wins, and what is said about wrong ones."""

import dataclasses
import ipaddress
import json
import socket
import sys
from pathlib import Path

import pytest

from kala.config import load
from kala.errors import SettingsError
from kala.settings import BY_NAME, TABLE, Settings

DAY = 86_400_000_000
TEN, LOOPBACK6 = ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1")


def loaded(home: Path, environ: dict[str, str] | None = None, file: str | None = None, **flags: object) -> Settings:
    return load(flags, environ=environ or {}, home=home, file=file)


def fault(home: Path, environ: dict[str, str] | None = None, file: str | None = None, **flags: object) -> str:
    with pytest.raises(SettingsError) as caught:
        loaded(home, environ, file, **flags)
    return str(caught.value)


def test_the_table_and_the_fields_are_the_same() -> None:
    names = [setting.name for group in TABLE.values() for setting in group]
    assert sorted(names) == sorted({field.name for field in dataclasses.fields(Settings)} - {"notes"})
    assert {setting.name for setting in BY_NAME.values()} == set(names)


def test_defaults(tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    assert settings == Settings()
    assert (settings.interface, settings.port, settings.jobdb) == ("127.0.0.1", 8000, "sqlite")
    assert (settings.done_ttl, settings.history_age, settings.keep_runs) == (30 * DAY, None, 100)
    assert settings.node == socket.gethostname()
    assert settings.database == Path("kala.db")


def test_flags_win_over_variables_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "kala.toml").write_text('port = 1\ndefault-owner = "file"\nkeep_runs = 7\n')
    environ = {"KALA_PORT": "2", "KALA_DEFAULT_OWNER": "variable"}
    settings = loaded(tmp_path, environ, port="3")
    assert (settings.port, settings.default_owner, settings.keep_runs) == (3, "variable", 7)


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"port": "8001"}, "port", 8001),
        ({"port": ":8002"}, "port", 8002),
        ({"port": 0}, "port", 0),
        ({"port": "localhost:8003"}, "interface", "localhost"),
        ({"port": "[::1]:8004"}, "interface", "::1"),
        ({"port": "127.0.0.2:1", "interface": "127.0.0.2"}, "interface", "127.0.0.2"),
        ({"interface": "[::1]"}, "interface", "::1"),
        ({"boltpath": "/var/x"}, "bolt_path", "/var/x"),
        ({"jobdbTlsCertPath": "/c"}, "jobdb_tls_certpath", "/c"),
        ({"JOBDB-TLS-CAPATH": "/c"}, "jobdb_tls_capath", "/c"),
        ({"no_persist": True}, "no_persist", True),
        ({"no_persist": "false"}, "no_persist", False),
        ({"verbose": "T"}, "verbose", True),
        ({"insecure": 1}, "insecure", True),
        ({"jobstat-ttl": "-1"}, "history_age", None),
        ({"jobstat-ttl": "0"}, "history_age", None),
        ({"jobstat-ttl": "60"}, "history_age", DAY // 24),
        ({"done-ttl": "P1W"}, "done_ttl", 7 * DAY),
        ({"done-ttl": ""}, "done_ttl", None),
        ({"done-ttl": "never"}, "done_ttl", None),
        ({"drain": "1.5"}, "drain", 1.5),
        ({"drain": 0}, "drain", 0.0),
        ({"max-runs": "12"}, "max_runs", 12),
        ({"allowed-host": ("A.example", "b")}, "allowed_hosts", ("a.example", "b")),
        ({"allowed-host": "a, b.example"}, "allowed_hosts", ("a", "b.example")),
        ({"allowed-host": "[::1],fe80::1"}, "allowed_hosts", ("[::1]", "fe80::1")),
        ({"interface": "unix:/run/kala.sock"}, "interface", "unix:/run/kala.sock"),
        ({"socket-mode": "660"}, "socket_mode", 0o660),
        ({"socket-mode": "0640"}, "socket_mode", 0o640),
        ({"path-prefix": "/kala/"}, "path_prefix", "/kala"),
        ({"path-prefix": "/"}, "path_prefix", ""),
        ({"trusted-proxy": ("unix", "10.0.0.0/8,::1")}, "trusted_proxies", ("unix", TEN, LOOPBACK6)),
        ({"remote-deny": "private, 10.0.0.0/8"}, "remote_deny", ("private", TEN)),
        ({"limit-runs": ("pool=reports:2", "tenant=*:5")}, "limit_runs", (("pool", "reports", 2), ("tenant", None, 5))),
        ({"limit-runs": "a=b:1,c=:2"}, "limit_runs", (("a", "b", 1), ("c", "", 2))),
        ({"jobdb": "boltdb"}, "jobdb", "boltdb"),
        ({"node": "n1"}, "node", "n1"),
        ({"log-format": "json"}, "log_format", "json"),
    ],
)
def test_values(tmp_path: Path, given: dict[str, object], field: str, value: object) -> None:
    assert getattr(loaded(tmp_path, **given), field) == value


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"port": "abc"}, "--port: 'abc' is not a port: write 8000, :8000 or 127.0.0.1:8000"),
        ({"port": "65536"}, "--port: '65536' is not a port"),
        ({"port": True}, "--port: 'True' is not a port"),
        ({"port": "a b:80"}, "--port: 'a b:80' is not a port"),
        ({"port": "h:1", "interface": "i"}, "--port names the interface h, and --interface i: give one of them"),
        ({"interface": "a/b"}, "--interface: 'a/b' is not an address to listen on"),
        ({"verbose": "maybe"}, "--verbose: 'maybe' is neither true nor false"),
        ({"keep-runs": "1.0"}, "--keep-runs: '1.0' is not a whole number from 0 to 1000000"),
        ({"keep-runs": "-1"}, "--keep-runs: '-1' is not a whole number"),
        ({"jobstat-ttl": "-2"}, "--jobstat-ttl: '-2' is not"),
        ({"output-limit": "9" * 30}, "--output-limit: '999"),
        ({"drain": "nan"}, "--drain: 'nan' is not a number of seconds"),
        ({"drain": "-1"}, "--drain: '-1' is not"),
        ({"done-ttl": "30d"}, "--done-ttl: '30d' is no duration: "),
        ({"jobdb": "oracle"}, "--jobdb: 'oracle' is not one of sqlite, boltdb, redis"),
        ({"log-format": "xml"}, "--log-format: 'xml' is not one of auto, text, logfmt, json"),
        ({"allowed-host": ["a:80"]}, "is not a host name"),
        ({"interface": "unix:kala"}, "--interface: 'unix:kala' is not a socket: write unix: and an absolute path"),
        ({"interface": "unix:/" + "a" * 100}, "is not a socket"),
        ({"socket-mode": "888"}, "--socket-mode: '888' is not a mode"),
        ({"path-prefix": "kala"}, "--path-prefix: 'kala' is not a path"),
        ({"path-prefix": "/a/../b"}, "is not a path"),
        ({"trusted-proxy": "10.0.0.1/8"}, "--trusted-proxy: '10.0.0.1/8' is not a network"),
        ({"remote-deny": "unix"}, "--remote-deny: 'unix' is not a network such as 10.0.0.0/8, an address, or the word"),
        ({"limit-runs": "pool=a:0"}, "--limit-runs: 'pool=a:0' is not a limit such as"),
        ({"limit-runs": "pool"}, "is not a limit"),
        ({"node": ""}, "--node: '' is not a name of 1 to 255 characters"),
        ({"node": "a\nb"}, "holds control characters"),
        ({"boltpath": "a", "bolt-path": "b"}, "--bolt-path and --bolt-path are one setting: give it once"),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, given: dict[str, object], said: str) -> None:
    assert said in fault(tmp_path, **given)


def test_variables(tmp_path: Path) -> None:
    assert fault(tmp_path, {"KALA_PORT": "abc"}).startswith("KALA_PORT: 'abc' is not a port")
    assert fault(tmp_path, {"KALA_BOLT_PATH": "a", "KALA_BOLTPATH": "b"}) == (
        "KALA_BOLT_PATH and KALA_BOLTPATH are one setting: give it once"
    )
    settings = loaded(
        tmp_path,
        {
            "KALA_JOBDB_ADDRESS": "a:1",
            "KALA_VERBOSE": "1",
            "KALA_PORT": "",  # empty is not set
            "KALA_RUN_ID": "r",
            "KALA_NODE": "told to a run",
            "KALA_PORTT": "9",
            "PORT": "9",
        },
    )
    assert (settings.jobdb_address, settings.verbose, settings.port) == ("a:1", True, 8000)
    assert settings.node == socket.gethostname()
    assert [text for level, text in settings.notes if level == "warning"] == [
        "KALA_PORTT is no setting of this program and is passed over",
        "the embedded database has no use for --jobdb-address",
    ]


def test_secrets_are_shown_nowhere(tmp_path: Path) -> None:
    settings = loaded(tmp_path, {"KALA_JOBDB_PASSWORD": "hush"})
    assert settings.jobdb_password == "hush"
    assert "hush" not in repr(settings) + str(settings.notes)
    lines = loaded(tmp_path, {"KALA_TOKENS": "ci run sha256:1\nme admin sha256:2", "KALA_SECRET_DB": "hush"})
    assert lines.tokens == "ci run sha256:1\nme admin sha256:2"
    assert "sha256" not in repr(lines) + str(lines.notes)
    assert lines.notes == ()
    said = fault(tmp_path, {"KALA_JOBDB_PASSWORD": "hu\nsh"})
    assert said == "KALA_JOBDB_PASSWORD: what is given holds control characters"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("kala.toml", 'port = 9\nno-persist = true\nallowed-host = ["a", "b"]\n'),
        ("kala.json", json.dumps({"Port": "9", "no_persist": True, "allowed-host": ["a", "b"]})),
        ("kala.yaml", "port: 9\nno-persist: yes\nallowed-host: [a, b]\n"),
        ("kala.yml", "PORT: '9'\nno-persist: 'yes'\nallowed-host: a,b\n"),
    ],
)
def test_files(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    for settings in (loaded(tmp_path), loaded(tmp_path / "elsewhere", file=str(path))):
        assert (settings.port, settings.no_persist, settings.allowed_hosts) == (9, True, ("a", "b"))
        assert settings.notes[0].text == f"settings from {path}"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "kala.toml",
            "jobdb-adress = 'x'",
            "jobdb-adress in {path}: there is no such setting: did you mean jobdb-address?",
        ),
        ("kala.toml", "[serve]\nport = 1", "serve in {path}: there is no such setting"),
        ("kala.toml", "port = [1]", "port in {path}: '[1]' is not a port"),
        ("kala.toml", "port = ", "{path} is not good TOML: "),
        ("kala.json", "{", "{path} is not good JSON: "),
        ("kala.json", "[]", "{path} must hold names and values"),
        ("kala.json", '{"bolt-path": "a", "boltpath": "b"}', "are one setting: give it once"),
        ("kala.yaml", "a: [", "{path} is not good YAML: "),
        ("kala.yaml", "!!python/object/apply:os.system ['true']", "{path} is not good YAML: "),
        ("kala.ini", "", "{path}: a settings file ends in .toml, .json, .yaml, .yml"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert said.format(path=path) in fault(tmp_path / "elsewhere", file=str(path))


def test_files_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "cannot be read: No such file or directory" in fault(tmp_path, file=str(tmp_path / "no.toml"))
    (tmp_path / "kala.toml").write_bytes(b"\xff")
    assert "is not good TOML" in fault(tmp_path)
    (tmp_path / "kala.yaml").write_text("")
    assert "are both there: keep one, or name it with --kala" in fault(tmp_path)
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert "pip install 'kala[yaml]'" in fault(tmp_path, file=str(tmp_path / "kala.yaml"))


def test_what_is_different_here_is_said(tmp_path: Path) -> None:
    given = {"jobdb": "boltdb", "bolt_path": "/d", "persist_every": "5", "no_tx_persist": True, "profile": True}
    texts = [text for _, text in loaded(tmp_path, insecure=True, **given).notes]
    assert texts == [
        "--jobdb boltdb means SQLite here: /d/kala.db",
        "every change is durable when it is answered: --persist-every and --no-tx-persist are idle",
        "--profile: where time goes is written to /d/kala.prof at the end",
        "--insecure: whoever reaches 127.0.0.1:8000 can run commands here",
    ]
    assert "in memory only" in loaded(tmp_path, no_persist=True).notes[0].text
