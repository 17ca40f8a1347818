"""TLS: who gets in, who does not, and that what cannot be spoken with costs nobody else anything."""

import json
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trio
from cli_process import Cli
from daemon_process import KalaProcess
from servers.certificates import Certificates, certificates

from kala.client.access import Access
from kala.client.stream import Event, Stream
from kala.errors import SettingsError
from kala.settings import Settings
from kala.web import tls
from kala.web.limits import Limits
from kala.web.tls import ServerTls

from .server import DEADLINE, FUTURE, GRACEFUL, HASTY, LIMITS, Server, connections, request, until, unverified
from .test_guard import OPEN, PACKETS, limits_for, talk
from .test_limits import fill


def curl(program: Callable[[str], str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [program("curl"), "-sS", "-w", "\n%{http_code} %{http_version}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)


def s_client(server: Server, *arguments: str) -> str:
    """What openssl says of a connection."""
    host, port = server.address
    command = ["openssl", "s_client", "-ign_eof", "-connect", f"{host}:{port}", *arguments]
    data = request(b"GET /healthz HTTP/1.1", b"Connection: close").decode()
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, input=data, check=False)
    return done.stdout + done.stderr


# What is spoken.


def test_any_bytes_within_tls(running: Callable[..., Server], certs: Certificates) -> None:
    # given what `test_guard` sends in the clear, then it is answered the same
    files = {"tls_cert": certs.server, "tls_key": certs.server_key}
    servers = {limits.head: running(limits, **files) for limits in (HASTY, LIMITS)}
    for name, packets, statuses in PACKETS:
        answer, connection = talk(servers[limits_for(statuses).head], packets)
        status = int(answer[9:12]) if answer else 0
        assert status in statuses, (name, answer[:300])
        connection.close()
    for server in servers.values():
        assert server.ask("GET", "/healthz").status == 200
        until(lambda of=server: not connections(of))  # type: ignore[misc]


def test_curl_gets_http_1_whatever_it_would_rather_speak(
    secure: Server, certs: Certificates, program: Callable[[str], str]
) -> None:
    url = f"{secure.urls[0]}/healthz"
    for more in ([], ["--http2"], ["--http2-prior-knowledge"], ["--tlsv1.3"], ["--tls-max", "1.2"]):
        got = curl(program, "--cacert", certs.ca, *more, url)
        assert got.stdout == '{"status":"ok"}\n200 1.1', (more, got)
    # whoever does not know our authority does not speak to us
    assert curl(program, "--cacert", certs.other_ca, url).returncode == 60


def test_http_2_in_the_clear_is_refused(server: Server, program: Callable[[str], str]) -> None:
    assert curl(program, "--http2", f"{server.urls[0]}/healthz").stdout.endswith("200 1.1")
    got = curl(program, "--http2-prior-knowledge", f"{server.urls[0]}/healthz")
    assert got.returncode != 0
    h2load = [program("h2load"), "-n", "5", "-c", "1", "-T", "5", f"{server.urls[0]}/healthz"]
    done = subprocess.run(h2load, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert " 0 succeeded, 5 failed" in done.stdout
    assert server.ask("GET", "/healthz").status == 200
    until(lambda: not connections(server))


def test_many_requests_of_h2load(secure: Server, program: Callable[[str], str]) -> None:
    command = [program("h2load"), "--h1", "-n", "2000", "-c", "20", f"{secure.urls[0]}/healthz"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert "2000 succeeded, 0 failed, 0 errored" in done.stdout
    until(lambda: not connections(secure))


def test_versions_and_protocols(secure: Server, certs: Certificates) -> None:
    for old in "-tls1", "-tls1_1":
        assert "alert protocol version" in s_client(secure, old, "-cipher", "ALL:@SECLEVEL=0")
    for new, named in ("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3"):
        said = s_client(secure, new, "-CAfile", certs.ca, "-alpn", "h2,http/1.1")
        assert f"New, {named}" in said
        assert "Verify return code: 0 (ok)" in said
        assert "ALPN protocol: http/1.1" in said
        assert "Compression: NONE" in said
        assert "HTTP/1.1 200" in said
    assert "No ALPN negotiated" in s_client(secure, "-alpn", "h2")


def test_renegotiation_is_refused(secure: Server) -> None:
    # given a client that asks for it, as s_client does for a line with R
    host, port = secure.address
    command = ["openssl", "s_client", "-connect", f"{host}:{port}", "-tls1_2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        until(lambda: len(connections(secure)) == 1)
        client.stdin.write(b"R\n")
        client.stdin.flush()
        # then it is told that there is none, and the connection ends
        said = client.stdout.read()
    assert b"RENEGOTIATING" in said
    assert b"no renegotiation" in said
    until(lambda: not connections(secure))


def test_the_application_knows_of_it(secure: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    # given an application that notes what it is told
    seen = []
    through = secure.app.asgi_app

    async def noted(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["type"], scope["scheme"]))
        await through(scope, receive, send)

    monkeypatch.setattr(secure.app, "asgi_app", noted)
    # then it is so for requests on the short way, on hypercorn's, and for websockets
    secure.ask("GET", "/openapi.json")
    secure.ask("HEAD", "/healthz")
    talk(secure, [OPEN])[1].close()
    assert seen == [("http", "https"), ("http", "https"), ("websocket", "wss")]


def test_the_end_is_told(secure: Server) -> None:
    # given answers after which the server closes: the client can tell them from ones that were cut off
    for packet in request(b"GET /healthz HTTP/1.1", b"Connection: close"), b"\xff\xfe\r\n\r\n":
        connection = unverified().wrap_socket(
            socket.create_connection(secure.address, timeout=DEADLINE), suppress_ragged_eofs=False
        )
        connection.sendall(packet)
        while connection.recv(65_536):
            pass  # with an end that was not told, this raises
        connection.close()


@pytest.mark.slow
def test_a_list_that_is_being_read_when_the_daemon_stops_comes_whole(
    running: Callable[..., Server], certs: Certificates
) -> None:
    secure = running(GRACEFUL, tls_cert=certs.server, tls_key=certs.server_key)
    fill(secure)
    connection = unverified().wrap_socket(
        socket.create_connection(secure.address, timeout=DEADLINE), suppress_ragged_eofs=False
    )
    connection.sendall(request(b"GET /api/v1/job/ HTTP/1.1"))
    answer = bytearray(connection.recv(1000))
    with ThreadPoolExecutor(1) as threads:
        stopping = threads.submit(secure.stop)
        until(lambda: secure.guard.stop_at < float("inf"))
        while data := connection.recv(65_536):
            answer += data
        assert answer.endswith(b"}}\r\n0\r\n\r\n")
        stopping.result(DEADLINE)
    connection.close()


def test_events_over_a_websocket(secure: Server, certs: Certificates) -> None:
    async def main() -> list[Event]:
        out, into = trio.open_memory_channel[list[Event]](0)
        heard: list[Event] = []
        with trio.fail_after(DEADLINE):
            async with trio.open_nursery() as nursery:
                stream = Stream(secure.urls[0], {"type": "job.saved"}, out, lambda why: None, Access(ca=certs.ca))
                nursery.start_soon(stream.run)
                heard += await into.receive()
                await trio.to_thread.run_sync(lambda: secure.create(name="told"))
                heard += await into.receive()
                nursery.cancel_scope.cancel()
        return heard

    assert [event["type"] for event in trio.run(main)] == ["hello", "job.saved"]


# What fails, alone.

HELLO = bytes.fromhex("16030100c8010000c40303") + b"x" * 190


@pytest.mark.parametrize(
    "packet",
    [request(), b"\0" * 100, b"\xff" * 5000, HELLO, HELLO[:20], b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b""],
    ids=["plain HTTP", "zeros", "high bytes", "a hello of nonsense", "half a hello", "a long record", "nothing"],
)
@pytest.mark.parametrize("resets", [False, True], ids=["waits", "resets"])
def test_a_handshake_that_fails_costs_its_connection(
    running: Callable[..., Server],
    certs: Certificates,
    caplog: pytest.LogCaptureFixture,
    packet: bytes,
    resets: bool,
) -> None:
    secure = running(HASTY, tls_cert=certs.server, tls_key=certs.server_key)
    begun = time.monotonic()
    connection = socket.create_connection(secure.address, timeout=DEADLINE)
    connection.sendall(packet)
    if resets:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    else:  # it is closed soon, at the latest after the time for a head
        try:
            while connection.recv(65_536):
                pass
        except ConnectionResetError:
            pass
        assert time.monotonic() - begun < HASTY.head + 9
    connection.close()
    until(lambda: not connections(secure))
    assert secure.ask("GET", "/healthz").status == 200
    assert "connection failed" not in caplog.text
    assert "Traceback" not in caplog.text


def test_handshakes_in_progress_hold_up_neither_others_nor_the_stop(
    running: Callable[..., Server], certs: Certificates
) -> None:
    secure = running(GRACEFUL, tls_cert=certs.server, tls_key=certs.server_key)
    # given peers that have begun a handshake and say no more
    silent = [socket.create_connection(secure.address, timeout=DEADLINE) for _ in range(20)]
    for one in silent:
        one.sendall(HELLO[:20])
    until(lambda: len(connections(secure)) == 20)
    assert secure.ask("GET", "/healthz").status == 200
    secure.stop()
    for one in silent:
        one.close()


def test_above_the_limit_it_is_said_within_tls(running: Callable[..., Server], certs: Certificates) -> None:
    server = running(Limits(connections=1, linger=3), tls_cert=certs.server, tls_key=certs.server_key)
    job = server.create(command="wait")
    busy = server.connect()
    busy.request("POST", f"/api/v1/job/start/{job}/")
    until(lambda: server.attempts == 1)
    refused = server.ask("GET", "/healthz")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    # whoever makes no handshake is not waited for
    until(lambda: not server.call(lambda: server.guard.refusing))
    silent = socket.create_connection(server.address, timeout=DEADLINE)
    assert silent.recv(100) == b""
    silent.close()
    server.let_go()
    assert busy.getresponse().status == 204
    busy.close()


# Clients' certificates.


@pytest.fixture
def choosy(running: Callable[..., Server], certs: Certificates) -> Server:
    """A server that takes clients of its authority alone."""
    return running(tls_cert=certs.server, tls_key=certs.server_key, tls_client_ca=certs.ca)


def test_only_clients_with_a_certificate_of_ours(
    choosy: Server, certs: Certificates, tmp_path: Path, program: Callable[[str], str]
) -> None:
    strangers = certificates(tmp_path)
    url = f"{choosy.urls[0]}/healthz"
    for version in "1.2", "1.3":
        only = ["--cacert", certs.ca, f"--tlsv{version}", "--tls-max", version]
        got = curl(program, *only, "--cert", certs.client, "--key", certs.client_key, url)
        assert got.stdout.endswith("200 1.1"), got
        none = curl(program, *only, url)
        assert (none.returncode, "alert" in none.stderr, none.stdout) == (
            56 if version == "1.3" else 35,
            True,
            "\n000 0",
        )
        other = curl(program, *only, "--cert", strangers.client, "--key", strangers.client_key, url)
        assert (other.returncode != 0, "alert" in other.stderr, other.stdout) == (True, True, "\n000 0")
    assert "certificate required" in s_client(choosy, "-tls1_3")
    until(lambda: not connections(choosy))


def test_the_command_line_shows_its_certificate(
    choosy: Server, certs: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kala = Cli(choosy.urls[0])
    shown = ("--ca", certs.ca, "--cert", certs.client, "--key", certs.client_key)
    assert kala.json("jobs", "list", *shown) is not None
    assert "cannot be reached" in kala("jobs", "list", "--ca", certs.ca, code=3).stderr
    assert "cannot be reached" in kala("jobs", "list", "--cert", certs.client, "--key", certs.client_key, code=3).stderr
    assert "--ca /nowhere" in kala("jobs", "list", "--ca", "/nowhere", code=2).stderr
    assert "--key goes with --cert" in kala("jobs", "list", "--ca", certs.ca, "--key", certs.client_key, code=2).stderr
    said = kala("jobs", "list", "--ca", certs.ca, "--cert", certs.client, "--key", certs.server_key, code=2).stderr
    assert f"--cert {certs.client}" in said
    assert "mismatch" in said
    # or from variables, which every command reads, the import among them
    for name, value in ("CA", certs.ca), ("CERT", certs.client), ("KEY", certs.client_key):
        monkeypatch.setenv(f"KALA_{name}", value)
    assert kala.json("jobs", "list") is not None
    jobs = tmp_path / "jobs.json"
    jobs.write_text(json.dumps({"jobs": {"an-id": {"name": "j", "command": "true", "schedule": FUTURE}}}))
    assert "1 of 1 jobs taken" in kala("import", str(jobs), "--to", choosy.urls[0]).stdout
    # also for a websocket, of a command that goes on until it is stopped
    watch = kala.popen("watch", "--json", *shown)
    assert watch.stdout is not None
    assert json.loads(watch.stdout.readline())["type"] == "hello"
    watch.terminate()
    watch.communicate()


# Its files.


def settings(certs: Certificates, **changed: Any) -> Settings:
    return Settings(**{"tls_cert": certs.server, "tls_key": certs.server_key, **changed})


def test_faults_of_files_are_named(certs: Certificates, tmp_path: Path) -> None:
    nonsense, locked, loose = tmp_path / "nonsense", tmp_path / "locked", tmp_path / "loose"
    nonsense.write_text("nonsense")
    line = ["openssl", "ec", "-in", certs.server_key, "-aes128", "-passout", "pass:word", "-out", str(locked)]
    subprocess.run(line, check=True, capture_output=True)
    shutil.copy(certs.server_key, loose)
    loose.chmod(0o660)
    for changed, said in (
        ({"tls_cert": "/nowhere"}, "--tls-cert /nowhere cannot be read: No such file or directory"),
        ({"tls_key": "/nowhere"}, "--tls-key /nowhere cannot be read: No such file or directory"),
        ({"tls_client_ca": "/nowhere"}, "--tls-client-ca /nowhere cannot be read: No such file or directory"),
        ({"tls_cert": str(tmp_path)}, f"--tls-cert {tmp_path} cannot be read: Is a directory"),
        ({"tls_cert": str(nonsense)}, f"--tls-cert {nonsense} holds no certificates in PEM"),
        ({"tls_cert": os.devnull}, f"--tls-cert {os.devnull} may be written by others"),
        ({"tls_client_ca": str(nonsense)}, f"--tls-client-ca {nonsense} holds no certificates in PEM"),
        ({"tls_client_ca": certs.client_key}, f"--tls-client-ca {certs.client_key} holds no certificates in PEM"),
        ({"tls_key": certs.client_key}, f"--tls-key {certs.client_key} is not the key of the certificate in"),
        ({"tls_key": str(nonsense)}, f"--tls-key {nonsense} and --tls-cert cannot be used together: "),
        ({"tls_key": ""}, f"--tls-cert {certs.server} and --tls-cert cannot be used together: "),
        ({"tls_key": str(locked)}, f"--tls-key {locked} is encrypted"),
        ({"tls_key": str(loose)}, f"--tls-key {loose} may be written by others than its owner: chmod go-w"),
        ({"tls_cert": ""}, "--tls-key goes with --tls-cert"),
        ({"tls_cert": "", "tls_key": "", "tls_client_ca": certs.ca}, "--tls-client-ca goes with --tls-cert"),
    ):
        with pytest.raises(SettingsError) as caught:
            ServerTls(settings(certs, **changed))
        assert str(caught.value).startswith(said), str(caught.value)
    assert ServerTls(Settings()).context is None


def test_one_file_may_hold_all_with_words_in_between(certs: Certificates, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text("Schlüssel\n" + Path(certs.server_key).read_text() + "größer\n" + Path(certs.server).read_text())
    both.chmod(0o600)
    assert ServerTls(settings(certs, tls_cert=str(both), tls_key="")).context is not None


def test_a_key_that_everybody_may_read_is_told(
    certs: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ServerTls(settings(certs))
    assert "chmod" not in caplog.text
    shown = tmp_path / "shown"
    shutil.copy(certs.server_key, shown)
    shown.chmod(0o644)
    ServerTls(settings(certs, tls_key=str(shown)))
    assert f"--tls-key {shown} may be read by everybody here" in caplog.text


def test_a_certificate_near_its_end_is_told(
    certs: Certificates, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # given that it lives for two days
    ServerTls(settings(certs))
    assert f"--tls-cert {certs.server}: the certificate ends in 1 days, on " in caplog.text
    # when that is long enough, then nothing is said
    caplog.clear()
    monkeypatch.setattr(tls, "SOON", 86_400)
    ServerTls(settings(certs))
    assert not caplog.messages
    # given one that has ended: it is told, and served all the same
    cert, key = tmp_path / "old.pem", tmp_path / "old.key"
    config = tmp_path / "ca.cnf"
    (tmp_path / "index.txt").touch()
    config.write_text(
        f"[ca]\ndefault_ca=a\n[a]\ndatabase={tmp_path}/index.txt\nnew_certs_dir={tmp_path}\nserial={tmp_path}/serial\n"
        "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n"
    )
    for line in (
        f"req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {key} -out {tmp_path}/csr -subj /CN=old",
        f"ca -batch -config {config} -selfsign -keyfile {key} -in {tmp_path}/csr -out {cert} -notext -create_serial"
        " -startdate 20200101000000Z -enddate 20210101000000Z",
    ):
        subprocess.run(["openssl", *line.split()], check=True, capture_output=True)
    assert ServerTls(settings(certs, tls_cert=str(cert), tls_key=str(key))).context is not None
    assert f"--tls-cert {cert}: the certificate has expired" in caplog.text


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., KalaProcess]]:
    """Starts a real daemon, which must end cleanly."""
    started: list[KalaProcess] = []

    def start(*flags: str) -> KalaProcess:
        started.append(KalaProcess(tmp_path / "kala", *flags))
        return started[0].start(ready=False)

    yield start
    assert started[0].stop() == 0


def serial_of(address: tuple[str, int], ca: str) -> str:
    with (
        socket.create_connection(address, timeout=DEADLINE) as plain,
        ssl.create_default_context(cafile=ca).wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        return str((secured.getpeercert() or {})["serialNumber"])


def test_hup_reads_the_files_anew(daemon: Callable[..., KalaProcess], certs: Certificates, tmp_path: Path) -> None:
    # given a daemon, and a connection to it that is kept
    folder = tmp_path / "files"
    folder.mkdir()
    for source, name in (certs.server, "cert"), (certs.server_key, "key"):
        shutil.copy(source, folder / name)
    kala = daemon("--tls-cert", str(folder / "cert"), "--tls-key", str(folder / "key"))
    host, port = kala.url.removeprefix("https://").split(":")
    before = serial_of((host, int(port)), certs.ca)
    kept = ssl.create_default_context(cafile=certs.ca).wrap_socket(
        socket.create_connection((host, int(port)), timeout=DEADLINE), server_hostname="localhost"
    )
    # when its files are those of another, and it is told so
    other = certificates(tmp_path)
    shutil.copy(other.server, folder / "cert")
    shutil.copy(other.server_key, folder / "key")
    os.kill(kala.pid, signal.SIGHUP)
    kala.wait_log("the TLS certificate was read anew")
    # then new connections see it, and the old one goes on
    after = serial_of((host, int(port)), other.ca)
    assert after != before
    kept.sendall(request())
    assert kept.recv(65_536).startswith(b"HTTP/1.1 200")
    kept.close()
    # when they are faulty, then the last good ones stay
    (folder / "key").write_text("nonsense")
    os.kill(kala.pid, signal.SIGHUP)
    kala.wait_log("TLS goes on with the old certificate: --tls-key")
    assert serial_of((host, int(port)), other.ca) == after
    assert kala.running


def test_a_daemon_with_faulty_files_says_so_and_does_not_start(tmp_path: Path) -> None:
    kala = KalaProcess(tmp_path, "--tls-cert", str(tmp_path / "none"))
    kala.launch()
    assert kala.wait() == 2
    assert "--tls-cert" in kala.log()
    assert "Traceback" not in kala.log()
    assert not (tmp_path / "kala.db").exists()
