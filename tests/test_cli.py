"""The command line: forms of flags, exit codes, and `kala run` in a real process."""

import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import kala
from kala.cli import main
from kala.errors import SettingsError, StoreRefused
from kala.settings import TABLE, Settings


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> types.SimpleNamespace:
    """Stands for the daemon: keeps the settings that it is run with. Logging is left alone."""
    module = types.SimpleNamespace(seen=[], answer=lambda: 0)

    def run(settings: Settings) -> int:
        module.seen.append(settings)
        return module.answer()

    module.run = run
    monkeypatch.setitem(sys.modules, "kala.daemon", module)
    monkeypatch.setattr(kala, "daemon", module, raising=False)
    monkeypatch.setattr("kala.logs.setup", lambda **given: None)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("KALA_")]:
        monkeypatch.delenv(name)
    return module


def called(*args: str) -> Result:
    return CliRunner().invoke(main, args)


def raising(error: Exception) -> Callable[[], int]:
    def answer() -> int:
        raise error

    return answer


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["-p", "9"], {"port": 9}),
        (["-p9"], {"port": 9}),
        (["-p=9"], {"port": 9}),
        (["-p=:9"], {"port": 9}),
        (["--port=:9"], {"port": 9}),
        (["--port", "localhost:9"], {"port": 9, "interface": "localhost"}),
        (["-vn"], {"verbose": True, "no_persist": True}),
        (["--no-persist=false"], {"no_persist": False}),
        (["--no-persist=true", "-v=1"], {"no_persist": True, "verbose": True}),
        (["--boltpath=/d"], {"bolt_path": "/d"}),
        (["--bolt-path", "/d"], {"bolt_path": "/d"}),
        (
            ["--jobdbTlsCertPath=/c", "--jobdbTlsServerName", "s"],
            {"jobdb_tls_certpath": "/c", "jobdb_tls_servername": "s"},
        ),
        (["--jobstat-ttl", "-1"], {"jobstat_ttl": -1}),
        (["-e", "5", "--no-tx-persist", "--profile=false"], {"persist_every": 5, "no_tx_persist": True}),
        (["-o", "a=b"], {"default_owner": "a=b"}),
        (["--jobdb-password", "a=b"], {"jobdb_password": "a=b"}),
        (["--allowed-host", "a", "--allowed-host", "b"], {"allowed_hosts": ("a", "b")}),
        (["--done-ttl", ""], {"done_ttl": None}),
        (["-i", "::1"], {"interface": "::1"}),
    ],
)
def test_flags_of_serve(daemon: types.SimpleNamespace, args: list[str], expected: dict[str, object]) -> None:
    result = called("serve", *args)
    assert result.exit_code == 0, result.output
    [settings] = daemon.seen
    assert {name: getattr(settings, name) for name in expected} == expected


def test_variables_and_files_reach_the_daemon(
    daemon: types.SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.toml").write_text("port = 1\nkeep-runs = 1\nno-persist = true")
    monkeypatch.setenv("KALA_PORT", "2")
    for args in (["--kala", str(tmp_path / "a.toml"), "serve"], ["serve", "--kala", str(tmp_path / "a.toml")]):
        assert called(*args, "--no-persist=false").exit_code == 0
        settings = daemon.seen.pop()
        assert (settings.port, settings.keep_runs, settings.no_persist) == (2, 1, False)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["serve", "-p", "abc"], "--port: 'abc' is not a port"),
        (["serve", "--no-persist=maybe"], "--no-persist: 'maybe' is neither"),
        (["serve", "--prot", "1"], "No such option"),
        (["serve", "extra"], "unexpected extra argument"),
        (["serve", "--kala", "/no/such.toml"], "/no/such.toml cannot be read"),
        (["serve", "--jobdb", "oracle"], "--jobdb: 'oracle' is not one of sqlite, boltdb, redis"),
        (["nonsense"], "No such command"),
        (["run"], "Missing argument"),
        (["run", "echo", "a"], "unexpected extra argument"),
    ],
)
def test_wrong_usage_is_2(daemon: types.SimpleNamespace, args: list[str], said: str) -> None:
    result = called(*args)
    assert result.exit_code == 2
    assert said in result.output
    assert not daemon.seen


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda: 0, 0),
        (lambda: 3, 3),
        (raising(SettingsError("port 1 is in use")), 2),
        (raising(StoreRefused("not a database")), 3),
        (raising(RuntimeError("bug")), 1),
    ],
)
def test_exit_codes_of_serve(daemon: types.SimpleNamespace, answer: Callable[[], int], code: int) -> None:
    daemon.answer = answer
    assert called("serve").exit_code == code


def test_a_bug_leaves_its_traceback_in_the_log(daemon: types.SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    daemon.answer = raising(RuntimeError("what went wrong"))
    called("serve")
    assert "RuntimeError: what went wrong" in caplog.text


def test_profile_is_written(daemon: types.SimpleNamespace, tmp_path: Path) -> None:
    assert called("serve", "--profile", "--bolt-path", str(tmp_path)).exit_code == 0
    assert (tmp_path / "kala.prof").stat().st_size > 0
    assert called("serve", "--profile", "--bolt-path", "/no/such/folder").exit_code == 0


def test_help_names_every_flag() -> None:
    result = called("serve", "--help")
    assert result.exit_code == 0
    for heading, settings in TABLE.items():
        assert f"{heading}:" in result.output
        for setting in settings:
            assert (f"--{setting.flag} " in result.output) == setting.has_flag
            assert not setting.short or f"-{setting.short}, " in result.output


@pytest.mark.parametrize("args", [["version"], ["--version"]])
def test_version(args: list[str]) -> None:
    result = called(*args)
    assert (result.exit_code, result.output) == (0, f"kala {kala.__version__}\n")


def ran(*args: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "kala", *args], capture_output=True, timeout=60, env=os.environ | more, check=False
    )


@pytest.mark.parametrize(
    ("command", "code", "out", "err"),
    [
        ("echo 'a b' $HOME", 0, b"Command Succeeded!\nOutput:  a b /h\n", b""),
        ("echo `echo x y` z", 0, b"Command Succeeded!\nOutput:  x y z\n", b""),
        ("printf '\\377'", 0, b"Command Succeeded!\nOutput:  \xff\n", b""),
        ("bash -c 'echo out; echo err >&2; exit 3'", 1, b"", b"Command Failed with err: exit code 3: out\nerr\n"),
        ("echo 'x", 1, b"", b"is not closed"),
        ("", 1, b"", b"the command is empty"),
        ("/no/such/program", 1, b"", b"/no/such/program"),
        ("bash -c 'echo [$KALA_JOBDB_PASSWORD]'", 0, b"Output:  []\n", b""),
        ("echo a | cat", 0, b"Output:  a | cat\n", b"Warning: "),
    ],
)
def test_run(command: str, code: int, out: bytes, err: bytes) -> None:
    result = ran("run", command, HOME="/h", KALA_JOBDB_PASSWORD="hush")
    assert result.returncode == code
    assert out in result.stdout
    assert err in result.stderr
    assert bool(err) == bool(result.stderr)


def test_nothing_heavy_is_imported_for_help() -> None:
    program = (
        "import sys\nfrom kala.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "sys.exit(bool({'trio', 'quart', 'hypercorn', 'msgspec', 'isodate'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0
