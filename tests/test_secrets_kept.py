"""A real daemon with jobs that use secrets in every way: whoever is to get them does, and nothing else holds one."""

import http.client
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
from cli_process import Cli
from daemon_process import API, KalaProcess
from http_servers import Peer, Seen, Server, fixed, serving

pytestmark = pytest.mark.slow

OF_FILE, OF_VARIABLE = "canary-of-a-file-5f1c", "canary-of-a-variable-9e02"
WITH_A_BUG = """
from kala import cli, runner
ours = runner.run_command

async def broken(argv, *, environment, **rest):
    if "bug" in argv:
        raise ValueError(f"a bug that tells of {dict(environment)}")
    return await ours(argv, environment=environment, **rest)

runner.run_command = broken
cli.main()
"""
TOKENS = {"FILE": "secret:db.password", "VARIABLE": "secret:api-key"}


async def echo(peer: Peer, seen: Seen) -> None:
    lines = "".join(f"{name}: {value}\n" for name, value in seen.headers)
    await peer.send(500, lines.encode() + seen.body)


def holds(data: bytes | str) -> bool:
    text = data if isinstance(data, bytes) else data.encode()
    return any(canary.encode() in text for canary in (OF_FILE, OF_VARIABLE, "canary-of"))


class Listener(threading.Thread):
    """Keeps all that an events stream says."""

    def __init__(self, kala: KalaProcess, accept: str) -> None:
        super().__init__()
        self._connection = http.client.HTTPConnection(urlsplit(kala.url).netloc)
        self._connection.request("GET", f"{API}/events/", headers={"Accept": accept})
        self._answer = self._connection.getresponse()
        self.heard = b""
        self.start()

    def run(self) -> None:
        while piece := self._answer.read1():
            self.heard += piece


def in_folder(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


def command_lines() -> str:
    """Those of all processes of this host, with this one's, which starts no program by a value."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has just ended
    return "\n".join(found)


def paths_of(kala: KalaProcess, jobs: list[str], runs: list[str]) -> Iterator[str]:
    """All that can be got of these jobs and runs, but streams without end."""
    for path, methods in kala.get("/openapi.json").json["paths"].items():
        if "get" not in methods or path.endswith("/events/"):
            continue
        yield from {path.replace("{job_id}", job).replace("{run_id}", run) for job in jobs for run in runs}
    yield from (f"{API}/job/?brief=true", f"{API}/run/?limit=100", "/?view=job")


@contextmanager
def a_daemon(folder: Path) -> Iterator[KalaProcess]:
    """One with both secrets, one of them in a file, which is outside of its own folder."""
    kept = folder / "secrets"
    kept.mkdir()
    (kept / "db.password").write_text(OF_FILE + "\n")
    (kept / "db.password").chmod(0o400)
    with KalaProcess(
        folder / "daemon",
        *("--secrets-folder", str(kept), "--verbose"),
        command=(sys.executable, "-c", WITH_A_BUG, "serve"),
        environment={"KALA_SECRET_API_KEY": OF_VARIABLE},
    ) as kala:
        yield kala


def jobs_with_secrets(url: str, folder: Path) -> dict[str, dict[str, Any]]:
    notify = [
        {"url": f"{url}/hook", "headers": {"X-Key": ["secret:db.password"], "Authorization": ["Bearer secret:api-key"]}}
    ]
    got, go = folder / "got", folder / "go"
    shell = {"shell": True, "environment": TOKENS, "notify": notify}
    return {
        "prints": {
            "command": f"echo $FILE $VARIABLE | tee {got}; env; until test -e {go}; do sleep 0.02; done; printenv FILE",
            **shell,
        },
        "fails": {"command": "printf %s $FILE; echo $VARIABLE >&2; exit 3", **shell},
        "is killed": {"command": "printf %s $FILE; kill -9 $$", **shell},
        "takes too long": {"command": "printf %s $FILE; sleep 60", "timeout": "PT0.3S", **shell},
        "finds no program": {"command": "no-such-program $OTHER", "environment": TOKENS, "notify": notify},
        "as an argument": {"command": "echo $FILE", "environment": TOKENS, "notify": notify},
        "from backticks": {"command": "echo `printenv VARIABLE`", "environment": TOKENS, "notify": notify},
        "meets a bug": {"command": "bug", "environment": TOKENS, "notify": notify},
        "finds none": {"command": "true", "environment": TOKENS | {"NONE": "secret:none"}, "notify": notify},
        "calls": {
            "type": 1,
            "command": "",
            "notify": notify,
            "remote_properties": {
                "url": f"{url}/echo",
                "method": "POST",
                "body": "secret:db.password",
                "headers": {"X-Key": ["secret:api-key"], "Authorization": ["Basic secret:db.password"]},
            },
        },
        "calls nobody": {
            "type": 1,
            "command": "",
            "notify": notify,
            "remote_properties": {"url": "http://127.0.0.1:1/", "headers": {"X-Key": ["secret:api-key"]}},
        },
    }


def story(folder: Path, server: Server) -> None:
    (folder / "work").mkdir()
    with a_daemon(folder) as kala:
        listeners = [Listener(kala, accept) for accept in ("text/event-stream", "application/x-ndjson")]
        answers, ids = [], {}
        for name, members in jobs_with_secrets(server.url, folder / "work").items():
            answer = kala.post(f"{API}/job/", {"name": name, "schedule": "R/9000-01-01T00:00:00Z/P1D", **members})
            assert answer.status == 201, answer
            answers.append(json.dumps(answer.json))
            ids[name] = answer.json["id"]
        assert json.loads(answers[8])["warnings"] == [
            f"secret:none is not there: there is neither {folder}/secrets/none nor variable KALA_SECRET_NONE; until it"
            " can be had, what needs it fails"
        ]
        runs = {}
        for name, job in ids.items():
            runs[name] = kala.post(f"{API}/job/start/{job}/?wait=false").json["id"]
        kala.wait_for(lambda: (folder / "work/got").exists() and (folder / "work/got").read_text().endswith("\n"))
        kala.wait_for(lambda: f"{runs['prints']}" in str(kala.get(f"{API}/run/?state=running").json))
        lines = command_lines()
        assert "until test -e" in lines
        assert not holds(lines)

        # what is printed can be read before its end
        def printed() -> bytes:
            return kala.request("GET", f"{API}/run/{runs['prints']}/output/?follow=false")[1]

        kala.wait_for(lambda: b"*** ***\n" in printed())
        assert not holds(printed())
        (folder / "work/go").touch()
        for run in runs.values():
            kala.wait_for(lambda run=run: kala.get(f"{API}/run/{run}/").json["run"]["ended"])
        kala.wait_for(lambda: len([seen for seen in server.requests if seen.target == "/hook"]) == len(runs) - 1)

        # They got there:
        assert (folder / "work/got").read_text() == f"{OF_FILE} {OF_VARIABLE}\n"
        (call,) = [seen for seen in server.requests if seen.target == "/echo"]
        assert (call.values("x-key"), call.body) == ([OF_VARIABLE], OF_FILE.encode())
        hooks = [seen for seen in server.requests if seen.target == "/hook"]
        assert {(*seen.values("x-key"), *seen.values("authorization")) for seen in hooks} == {
            (OF_FILE, f"Bearer {OF_VARIABLE}")
        }
        # each job did what it was to
        errors = {
            name: kala.get(f"{API}/run/{run}/").json["run"]["attempts"][-1].get("error", "")
            for name, run in runs.items()
        }
        assert errors["prints"] == ""
        assert errors["fails"] == "exit code 3"
        assert errors["is killed"].startswith("ended by signal 9")
        assert errors["takes too long"].startswith("timed out")
        assert errors["finds no program"] == "no such program: no-such-program"
        assert errors["as an argument"].startswith("$FILE is a secret")
        assert errors["from backticks"].startswith("printenv in backticks printed a secret")
        assert errors["meets a bug"].startswith("internal error: Withheld")
        assert errors["finds none"].startswith("secret:none is not there")
        assert errors["calls"] == "answered 500, expected 200"
        assert errors["calls nobody"].startswith("cannot connect")

        # And nowhere else:
        assert not holds("".join(answers))
        for path in paths_of(kala, list(ids.values()), list(runs.values())):
            response, body = kala.request("GET", path)
            assert response.status < 500, (path, body)
            assert not holds(body), path
            assert not holds(str(response.getheaders())), path
        assert not any(holds(seen.body) for seen in hooks)
        cli = Cli(kala.url)
        assert "secret:db.password" in cli("export").stdout
        for words in (["export"], ["jobs", "show", ids["prints"]], ["runs", "show", runs["fails"]]):
            assert not holds(cli(*words).stdout), words
        patched = kala.patch(f"{API}/job/{ids['finds none']}/", {"environment": {"NONE": "secret:missing"}})
        assert any("secret:missing is not there" in one for one in patched.json["warnings"])
        assert not holds(json.dumps(patched.json))
        files = in_folder(folder / "daemon")
        assert {Path(name).name for name in files} >= {"kala.db", "kala.db-wal", "kala.log"}
        assert [name for name, data in files.items() if holds(data)] == []
    for listener in listeners:
        listener.join(30)
        assert runs["fails"].encode() in listener.heard
        assert not holds(listener.heard)
    files = in_folder(folder / "daemon")
    assert [name for name, data in files.items() if holds(data)] == []
    log = kala.log()
    assert "Withheld: ValueError" in log
    assert "in broken" in log


def test_a_secret_is_seen_by_nobody_else(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving({"/echo": echo, "/hook": fixed(200)}) as server:
            await trio.to_thread.run_sync(partial(story, tmp_path, server))

    trio.run(main)
