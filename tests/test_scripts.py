"""The scripts of a clone: what they say when something is missing, and a daemon from a fresh one."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from daemon_process import ROOT, KalaProcess
from servers.__main__ import born

USED_BY_SERVICES = (
    *("bash", "chmod", "cp", "dirname", "env", "flock", "grep", "gzip", "mkdir", "mktemp", "mv", "rm", "sleep", "tail"),
    "tar",
)
PROGRAMS = (
    *("supervisord", "openssl", "curl", "h2load", "nginx", "caddy", "redis-server", "mariadbd", "postgres", "chromium"),
    *("logrotate", "systemd-analyze", "promtool", "faketime", "cc"),
)
GO = """#!/bin/bash
echo "$PWD $*" >>"$GO_CALLS"
case $1 in
    list) mkdir -p "$GO_CALLS.module/build/version" && echo "$GO_CALLS.module" ;;
    install)
        sleep 0.2
        [ -z "${GO_FAILS:-}" ] || { echo "no such module" >&2; exit 1; }
        mkdir -p "$GOBIN"
        program=$GOBIN/${2##*/}
        case $2 in *consul) version=1.19.2 ;; *) version=1.24.2 ;; esac
        printf '#!/bin/bash\necho "version: v%s, $1"\n' "${GO_GIVES:-$version}" >"$program"
        chmod +x "$program"
        ;;
esac
"""
"""Pretends to build: a program that says its version."""


NPM = r"""#!/bin/bash
[ "$1 $2 $3" = "pack --silent --pack-destination" ] || exit 1
cd "$4" && mkdir package && echo '{"version": "'"${5##*@}"'"}' >package/package.json
tar -czf "axe-core-${5##*@}.tgz" package && rm -r package
"""
"""Pretends to fetch a package."""


class Services:
    """`scripts/services install` where nothing but these programs is installed, and by somebody who is not root."""

    def __init__(self, folder: Path, *programs: str, go: bool = True) -> None:
        self.path, self.built, self.calls = folder / "bin", folder / "built", folder / "calls"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.path.mkdir()
        for name in USED_BY_SERVICES:
            found = shutil.which(name)
            assert found is not None
            (self.path / name).symlink_to(found)
        for name in programs:
            (self.path / name).symlink_to("/bin/true")
        self.write("id", "#!/bin/sh\necho 1000\n")
        self.write("npm", NPM)
        if go:
            self.write("go", GO)

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)
        (self.path / name).chmod(0o755)

    def start(self, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [str(ROOT / "scripts/services")],
            env={
                "PATH": str(self.path),
                "KALA_TEST_SERVERS": str(self.built),
                "GO_CALLS": str(self.calls),
                "TMPDIR": str(self.temporary),
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def install(self, **environment: str) -> tuple[int, str]:
        """The exit code, and what it says."""
        process = self.start(**environment)
        said, wrong = process.communicate(timeout=60)
        return process.returncode, said + wrong

    @property
    def installed(self) -> list[str]:
        """What Go was to install, in order."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line.split()[-1] for line in lines if line.split()[1] == "install"]


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_a_program_that_is_missing_is_named(tmp_path: Path, ci: str, code: int) -> None:
    returned, said = Services(tmp_path, "curl", "postgres", "mariadbd").install(CI=ci)
    assert returned == code
    assert "supervisord is missing (apt-get install supervisor): stopping" in said
    assert "openssl is missing" in said
    assert "redis-server is missing (apt-get install redis-server): the database redis is not tested" in said
    for name in "curl", "postgres", "mariadbd", "consul":
        assert f"{name} is missing" not in said


def test_servers_are_built_once(tmp_path: Path) -> None:
    services = Services(tmp_path, *PROGRAMS)

    code, said = services.install(CI="true")
    assert (code, said.splitlines()) == (
        0,
        [
            "building consul 1.19.2, which takes minutes, once",
            "building ferretdb 1.24.2, which takes minutes, once",
        ],
    )
    assert services.install(CI="true") == (0, "")
    assert services.installed == ["github.com/hashicorp/consul", "github.com/FerretDB/FerretDB/cmd/ferretdb"]
    assert {file.name for file in (services.built / "bin").iterdir()} == {"consul", "ferretdb"}

    # and outside of the clone, in a folder that is gone
    assert {line.split()[0].rpartition("/")[0] for line in services.calls.read_text().splitlines()} == {
        str(services.temporary)
    }
    assert not list(services.temporary.iterdir())


def test_a_server_of_another_version_is_built_anew(tmp_path: Path) -> None:
    services = Services(tmp_path, *PROGRAMS)
    services.install()
    consul = services.built / "bin" / "consul"
    consul.write_text(consul.read_text().replace("1.19.2", "1.18.0"))
    assert services.install() == (0, "building consul 1.19.2, which takes minutes, once\n")
    assert "1.19.2" in consul.read_text()


def test_two_at_once_build_once(tmp_path: Path) -> None:
    services = Services(tmp_path, *PROGRAMS)
    both = [services.start(), services.start()]
    assert [one.wait(60) for one in both] == [0, 0]
    for one in both:
        one.communicate()
    assert len(services.installed) == 2


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
@pytest.mark.parametrize(
    ("go", "environment", "said"),
    [
        (False, {}, "consul 1.19.2 is missing, and Go, which builds it, is not in PATH: the database consul is not"),
        (True, {"GO_FAILS": "1"}, "no such module\nconsul 1.19.2 could not be built: the database consul is not"),
        (True, {"GO_GIVES": "9.9"}, "ferretdb 1.24.2 could not be built: the database mongo is not tested"),
    ],
)
def test_a_server_that_cannot_be_built_is_named(
    tmp_path: Path, go: bool, environment: dict[str, str], said: str, ci: str, code: int
) -> None:
    services = Services(tmp_path, *PROGRAMS, go=go)
    returned, heard = services.install(CI=ci, **environment)
    assert returned == code
    assert said in heard
    assert not list(services.temporary.iterdir())


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_without_npm_it_says_what_is_not_tested(tmp_path: Path, ci: str, code: int) -> None:
    services = Services(tmp_path, *PROGRAMS)
    (services.path / "npm").unlink()
    returned, said = services.install(CI=ci)
    assert returned == code
    assert "could not be had by npm: whether everybody can use the web page is not tested" in said
    assert not list(services.temporary.iterdir())


def test_what_it_does_not_know_is_named() -> None:
    result = subprocess.run([str(ROOT / "scripts/services"), "no"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "start [NAME…]" in result.stderr


@pytest.mark.slow
def test_a_server_is_started_and_stopped(tmp_path: Path, program: Callable[[str], str]) -> None:
    program("redis-server")
    clone = copied(tmp_path / "clone", "tests/servers")
    # given a clone whose environment is made already
    (clone / ".venv/bin").mkdir(parents=True)
    (clone / ".venv/bin/python").write_text(f'#!/bin/sh\nPYTHONPATH="{clone}:$PYTHONPATH" exec {sys.executable} "$@"\n')
    (clone / ".venv/bin/python").chmod(0o755)
    stamp = 'printf "%s %d.%d $(cksum <"$0/pyproject.toml")" "$0" $1 $2 >"$0/.venv/installed-develop"'
    subprocess.run(["bash", "-c", stamp, clone, *map(str, sys.version_info[:2])], check=True)

    def services(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [clone / "scripts/services", *arguments],
            env={"PATH": os.environ["PATH"], **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    try:
        # when it is started, twice
        started = services("start", "redis")
        assert (started.returncode, started.stderr) == (0, "")
        found = re.fullmatch(r"redis: (Redis \d+\S+), process (\d+)\n  kala serve (--jobdb=redis .*)\n", started.stdout)
        assert found is not None, started.stdout
        assert services("start", "redis").stdout == started.stdout
        assert services("status").stdout == started.stdout

        # then a daemon runs on it
        with KalaProcess(tmp_path / "data", *shlex.split(found[3])) as kala:
            job_id = kala.create(command="true")
            kala.restart()
            assert kala.job(job_id)["command"] == "true"

        # when it is stopped, nothing is left
        assert services("stop").stdout == "redis: stopped\n"
        assert not born(int(found[2]))
        assert not list((clone / ".services").iterdir())
        assert [services(verb).stdout for verb in ("status", "stop")] == ["", ""]
    finally:
        services("stop")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["start", "oracle"], 2, "any of: postgres, mariadb, redis, ferretdb, secantusdb, consul"),
        (["begin"], 2, "start, stop or status"),
        (["start", "redis"], 1, "redis: redis-server is missing: scripts/services install"),
    ],
)
def test_what_cannot_be_started_is_named(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "servers", *arguments],
        env={"PATH": str(tmp_path), "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (code, "")
    assert said in result.stderr


@pytest.mark.parametrize(
    ("python", "said"),
    [
        ("3.9", "3.9 is not an interpreter that can be started here"),
        ("/no/such/python", "/no/such/python is not an interpreter"),
    ],
)
def test_an_interpreter_that_is_not_there(tmp_path: Path, python: str, said: str) -> None:
    clone = copied(tmp_path / "clone")
    result = subprocess.run(
        [str(clone / "scripts/run")],
        env={"PATH": os.environ["PATH"], "KALA_PYTHON": python},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert said in result.stderr
    assert not (clone / ".venv").exists()


@pytest.mark.slow
def test_a_fresh_clone_runs_a_job(tmp_path: Path) -> None:
    # given a clone in a folder of its own, and its script, started elsewhere
    clone = copied(tmp_path / "a clone")
    script = str(clone / "scripts/run")
    environment = {"KALA_PYTHON": sys.executable, "PYTHONPATH": ""}
    with KalaProcess(tmp_path / "data", command=[script], environment=environment, patience=240) as kala:
        job_id = kala.create(command="true")
        assert kala.post(f"/api/v1/job/start/{job_id}/").status == 204
        assert kala.job(job_id)["metadata"]["success_count"] == 1
        assert "installing into" in kala.log()

        # when it is started again, nothing is installed again
        kala.restart()
        assert "installing" not in kala.log()
        assert kala.job(job_id)["metadata"]["success_count"] == 1

        # when what it needs has changed, it is
        with (clone / "pyproject.toml").open("a") as file:
            file.write("\n")
        kala.restart()
        assert "installing into" in kala.log()
    assert {path.name for path in tmp_path.iterdir()} == {"a clone", "data"}


@pytest.mark.parametrize("name", ["bench", "chaos", "fuzz", "page-load", "screenshots", "soak"])
def test_a_script_goes_on_in_the_clone_s_environment(tmp_path: Path, name: str) -> None:
    # given a clone whose environment is there, and a Python that has nothing installed
    clone = copied(tmp_path / "clone", "tests")
    python = clone / "made/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    command = [sys.executable, "-S", "-E", clone / "scripts" / name, "--help"]
    # when a script is started with it, then it goes on there
    (clone / "scripts/environment.sh").write_text(f'environment() {{ echo "$1" >&2; venv="{clone}/made"; }}\n')
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "develop\n")
    assert result.stdout.startswith(f"usage: {name} ")
    # and when there is none, then this is what is said
    (clone / "scripts/environment.sh").write_text("environment() { echo 'no Python' >&2; exit 2; }\n")
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", "no Python\n")


def copied(folder: Path, *others: str) -> Path:
    """What a clone holds that its `scripts/run` uses, and other folders."""
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    for name in ("kala", "scripts", *others):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder
