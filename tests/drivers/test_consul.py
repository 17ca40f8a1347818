"""What only Consul has: its addresses, tokens and TLS, its clock, and what lies under its keys."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from missing import require
from msgspec.structs import replace
from servers.certificates import Certificates, certificates
from servers.consul import ConsulService
from servers.service import Service, free_port

from kala.clock import SECOND
from kala.drivers import consul_lane, consul_opening, consul_pruning
from kala.drivers.consul import ConsulDriver
from kala.drivers.consul_http import Agent, Op
from kala.drivers.consul_keys import Keys, Stamps, decoded_text, encoded
from kala.drivers.consul_opening import read
from kala.drivers.consul_time import AgentClock, Deadline
from kala.drivers.contract import RunQuery, Stored
from kala.drivers.server import Server, Tls
from kala.errors import KalaError, SettingsError, StoreRefused, StoreUnavailable
from kala.job import Output

from .conformance.database import START, append, done, drop, kept, printed, put, ran


@pytest.fixture
def service(started: Callable[[str], Service]) -> ConsulService:
    found = started("consul")
    assert isinstance(found, ConsulService)
    return found


@contextmanager
def opened(server: Server) -> Iterator[ConsulDriver]:
    driver = ConsulDriver(server)
    driver.open()
    try:
        yield driver
    finally:
        driver.close()


def refusal(server: Server, kind: type[KalaError] = StoreRefused) -> str:
    """What opening says."""
    driver = ConsulDriver(server)
    with pytest.raises(kind) as caught:
        driver.open()
    driver.close()
    assert not server.password or server.password not in str(caught.value)
    return str(caught.value)


def prefix_of(server: Server) -> str:
    return server.address.partition("/")[2] + "/"


def keys_under(service: ConsulService, server: Server, part: str) -> list[str]:
    """The keys of a database that begin so, without its prefix."""
    prefix = prefix_of(server)
    found = service.ask("GET", f"kv/{prefix}{part}?keys")
    return [key.removeprefix(prefix) for key in found or ()]


@pytest.mark.parametrize(
    ("address", "place", "secure"),
    [
        ("", "127.0.0.1:8500/kala", None),
        ("consul.example", "consul.example:8500/kala", None),
        ("consul.example:80", "consul.example:80/kala", None),
        ("consul://consul.example/a/b/", "consul.example:8500/a/b", None),
        ("http://h:1", "h:1/kala", False),
        ("HTTPS://h/other", "h:8500/other", True),
        ("[::1]:8500", "[::1]:8500/kala", None),
        ("h?dc=north", "h:8500/kala", None),
    ],
)
def test_addresses(address: str, place: str, secure: bool | None) -> None:
    found = read(Server(address))
    assert (found.place, found.secure) == (place, secure)
    assert ConsulDriver(Server(address)).place == place


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (Server("redis://h"), "it begins with redis://"),
        (Server("a:1,b:2"), "one agent"),
        (Server("h?stale=1&dc=x&token=y"), "there is no option stale, token: for Consul there is dc"),
        (Server("h", username="admin"), "Consul knows no user names"),
        (Server("http://me:s3kr1t@h"), "Consul knows no user names"),
        (Server("http://h", tls=Tls(ca="/ca.pem")), "write https://"),
        (Server("h", tls=Tls(ca="/no/such.pem")), "--jobdb-tls-capath"),
    ],
)
def test_addresses_that_cannot_be_used(server: Server, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        ConsulDriver(server)
    assert "s3kr1t" not in str(caught.value)


def test_tokens(service: ConsulService) -> None:
    server = service.fresh()
    wrong = refusal(replace(server, password="6f5ab4b6-0000-4d0c-9d7b-54b1f3f5b0a1"))
    assert "ACL not found" in wrong
    assert "--jobdb-password" in wrong
    none = refusal(replace(server, password=""))
    assert "lacks permission" in none
    assert f'key_prefix "{prefix_of(server)}" {{ policy = "write" }}' in none
    elsewhere = refusal(replace(server, address=f"127.0.0.1:{service.port}/elsewhere"))
    assert 'key_prefix "elsewhere/"' in elsewhere


def test_a_token_that_may_only_read_is_refused_at_the_start(service: ConsulService) -> None:
    server = service.fresh()
    with opened(server):
        service.read_only(True)
        try:
            assert "key:write" in refusal(server)
        finally:
            service.read_only(False)


def test_a_token_that_must_not_see_is_not_taken_for_an_empty_database(service: ConsulService) -> None:
    server = service.fresh()
    with opened(server) as driver:
        done(driver.commit([put("a", 1, runs=[ran(1)])]))
        token = driver.changes("").token
        service.write_policy("deny")
        try:
            for call in (
                lambda: list(driver.load("job")),
                lambda: driver.get("job", "a"),
                lambda: driver.changes(token),
                lambda: driver.commit([put("a", 2)]),
                lambda: driver.runs(RunQuery()),
            ):
                with pytest.raises((StoreRefused, StoreUnavailable), match="token"):
                    call()
        finally:
            service.write_policy("write")
        assert driver.get("job", "a") == Stored("job", "a", 1, b"{}")


def test_what_answers_is_no_consul() -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as page:
        thread = threading.Thread(target=page.serve_forever)
        thread.start()
        try:
            assert "not a Consul agent: 200 <html>hello" in refusal(Server(f"127.0.0.1:{page.server_port}"))
        finally:
            page.shutdown()
            thread.join()
    nowhere = f"127.0.0.1:{free_port()}"
    assert refusal(Server(nowhere), StoreUnavailable) == (
        f"{nowhere}/kala: Consul cannot be reached: [Errno 111] Connection refused"
    )


def test_the_environment_is_not_asked(service: ConsulService, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "CONSUL_HTTP_ADDR": "https://elsewhere.example:1",
        "CONSUL_HTTP_TOKEN": "another",
        "CONSUL_HTTP_SSL": "true",
        "HTTP_PROXY": f"http://127.0.0.1:{free_port()}",
        "http_proxy": f"http://127.0.0.1:{free_port()}",
    }.items():
        monkeypatch.setenv(name, value)
    with opened(service.fresh()) as driver:
        done(driver.commit([put("a", 1)]))


def test_schema_versions(service: ConsulService, monkeypatch: pytest.MonkeyPatch) -> None:
    server = service.fresh()
    meta = f"kv/{prefix_of(server)}meta"
    with opened(server) as driver:
        done(driver.commit([put("a", 1)]))

    def migrate(agent: Agent, keys: Keys) -> None:
        agent.transact([Op("set", f"{keys.prefix}new", b"1")], Deadline())

    monkeypatch.setattr(consul_opening, "MIGRATIONS", (migrate,))
    for module in consul_opening, consul_lane:
        monkeypatch.setattr(module, "SCHEMA", 2)
    with opened(server) as driver:
        done(driver.commit([put("a", 2)]))
    assert keys_under(service, server, "new") == ["new"]
    monkeypatch.undo()
    said = refusal(server)
    assert "version 2" in said
    assert "up to 1" in said
    service.ask("PUT", meta, {"some": "thing"})
    assert "is not Kala's" in refusal(server)


def test_an_agent_that_keeps_nothing_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    require(ConsulService)
    service = ConsulService(tmp_path / "consul", settings={"bootstrap_expect": 0})
    service.options = ["-dev"]
    try:
        with caplog.at_level(logging.WARNING), opened(service.start().fresh()):
            pass
    finally:
        service.kill()
    (warning,) = [record.getMessage() for record in caplog.records if record.name.startswith("kala")]
    assert "-dev and keeps nothing" in warning
    assert "-data-dir" in warning


def test_one_that_keeps_everything_is_not(service: ConsulService, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), opened(service.fresh()) as driver:
        assert driver.server == service.version()
    assert not [record for record in caplog.records if record.name.startswith("kala")]


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ConsulService, Certificates]]:
    """An agent that speaks TLS, and wants a certificate of its clients."""
    require(ConsulService)
    folder = tmp_path_factory.mktemp("consul")
    made = certificates(folder)
    service = ConsulService(folder / "consul")
    service.secure(made)
    try:
        yield service.start(), made
    finally:
        service.kill()


def test_tls(secure: tuple[ConsulService, Certificates]) -> None:
    service, made = secure
    plain = service.fresh()
    tls = Tls(made.ca, made.client, made.client_key)
    good = replace(plain, tls=tls)
    for server in (
        good,
        replace(good, tls=replace(tls, name="db.example")),
        replace(good, address=f"https://{plain.address}"),
        replace(good, address=plain.address.replace("127.0.0.1", "localhost")),
    ):
        with opened(server) as driver:
            assert driver.now() > 0
    for server, said in (
        (plain, "it speaks TLS"),
        (replace(good, tls=replace(tls, ca=made.other_ca)), "--jobdb-tls-capath"),
        (replace(good, tls=replace(tls, name="another.example")), "--jobdb-tls-servername"),
        (replace(good, tls=Tls(made.ca)), "it wants a certificate: --jobdb-tls-certpath"),
        (replace(good, address=f"https://{plain.address}", tls=Tls()), "--jobdb-tls-capath"),
    ):
        assert said in refusal(server), server
    with pytest.raises(SettingsError, match="--jobdb-tls-keypath"):
        ConsulDriver(replace(good, tls=Tls(made.ca, key=made.client_key)))


def test_tls_where_there_is_none(service: ConsulService) -> None:
    server = service.fresh()
    assert "it does not speak TLS" in refusal(replace(server, address=f"https://{server.address}"))


def test_the_clock_agrees_with_the_answers() -> None:
    clock = AgentClock()
    ours = time.time()
    clock.learn(formatdate(ours, usegmt=True), time.monotonic())
    before = time.time()
    now = clock.now() / SECOND
    assert before - 0.05 < now < time.time() + 0.05, "this machine's, to the microsecond, when it agrees"
    for ahead in 100, 3_600, 3_500:
        asked = time.monotonic()
        clock.learn(formatdate(int(ours) + ahead, usegmt=True), asked)
        told = clock.now()
        assert clock.now() >= told, "it never goes back"
        if ahead != 3_500:
            assert int(ours) + ahead <= told / SECOND <= int(ours) + ahead + 1.05
    clock.learn("no date", time.monotonic())
    clock.learn("", time.monotonic())


def test_stamps_follow_what_was_read() -> None:
    """Whatever the clocks say: who has read what another wrote comes after it."""
    ahead, behind = Stamps(lambda: 2_000_000), Stamps(lambda: 1_000_000)
    first = ahead.next("aaaaaaaa")
    behind.seen(first)
    assert behind.next("00000000") > first
    behind.seen("nonsense")
    assert len(first) == 24


def test_drivers_whose_clocks_differ_append_in_order(service: ConsulService) -> None:
    server = service.fresh()
    with opened(server) as ahead, opened(server) as behind:
        clock = ahead._agent.clock
        clock._offset += 500  # as another host's may be, until an answer tells
        clock.learn = lambda *_: None  # type: ignore[method-assign]
        expected = []
        for revision in range(1, 9):
            driver = ahead if revision % 2 else behind
            assert revision == 1 or driver.get("job", "a") is not None
            done(driver.commit([put("a", revision, runs=[ran(revision)])]))
            expected.append(f"run-{revision}")
        assert kept(behind) == expected[::-1]


@pytest.mark.parametrize("text", ["", "a", "A", "a/b", "..", "a.b", "%2F", "é", "e\u0301", "\0", "a!", "\ud800", "🦆 "])
def test_any_text_is_a_part_of_a_key(text: str) -> None:
    part = encoded(text)
    assert decoded_text(part) == text
    assert not set(part) & set("/.? ")


def test_spoilt_records_are_named_skipped_and_kept(service: ConsulService, caplog: pytest.LogCaptureFixture) -> None:
    server = service.fresh()
    with opened(server) as driver:
        done(driver.commit([put("good", 1, b"v"), put("spoilt", 1, b"v"), put("empty", 1, b"v")]))
        for key, value in ("spoilt", b"x y\nvalue"), ("empty", b""):
            place = next(one for one in keys_under(service, server, "records/") if f"/{key}!" in one)
            service.put(f"{prefix_of(server)}{place}", value)
        service.put(f"{prefix_of(server)}records/job!/00/strange", b"1 0\nv")

        assert list(driver.load("job")) == [Stored("job", "good", 1, b"v")]
        assert driver.get("job", "spoilt") is None
        said = [record.getMessage() for record in caplog.records]
        for key in "spoilt", "empty", "strange":
            assert any(f"job '{key}" in one for one in said), key
        for element in put("spoilt", 2, b"w"), put("spoilt", 1, b"w"), drop("spoilt", 1), drop("empty", 0):
            (answer,) = driver.commit([element])
            assert answer is not None
            assert answer.current is None
        assert any("/spoilt!" in one for one in keys_under(service, server, "records/"))


def test_spoilt_rows_are_named_and_skipped(service: ConsulService, caplog: pytest.LogCaptureFixture) -> None:
    server = service.fresh()
    with opened(server) as driver:
        append(driver, [ran(number) for number in range(3)])
        key = f"{prefix_of(server)}runs/run-1!"
        head = service.value(key).partition(b"\n")[0]
        service.put(key, head + b"\n{not JSON")
        assert kept(driver) == ["run-2", "run-0"]
        assert driver.run("run-1") is None
        assert any("run 'run-1'" in record.getMessage() for record in caplog.records)
        assert driver.forget(["job-a"]) == 3


def test_a_listener_that_is_too_far_behind_loads_everything(
    service: ConsulService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consul_lane, "KEPT_DELETIONS", 50)
    server = service.fresh()
    with opened(server) as driver, opened(server) as listener:
        done(driver.commit([put(f"k{number}", 1) for number in range(100)]))
        token = listener.changes("").token
        for number in range(60):
            done(driver.commit([drop(f"k{number}", 1)]))
            if number == 48:
                told = listener.changes(token)
                assert not told.reset
                assert sorted(told.deleted) == sorted(("job", f"k{n}") for n in range(49)), "more than a block of slots"
        assert listener.changes(token).reset
        assert not listener.changes(told.token).reset
        assert len(keys_under(service, server, "changed/")) <= 55, "what nobody is told of is removed"


def test_writers_that_are_gone_are_added_up(service: ConsulService, monkeypatch: pytest.MonkeyPatch) -> None:
    server = service.fresh()
    with opened(server) as listener:
        token = listener.changes("").token
        for number in range(5):
            with opened(server) as driver:
                done(driver.commit([put(f"{number}", 1, runs=[ran(number)], outputs=[printed(f"run-{number}")])]))
        followed = listener.changes(token).token
        assert len(keys_under(service, server, "lanes/")) == 5
        monkeypatch.setattr(consul_pruning, "OVER", 0)
        assert listener.prune(None, keep=100, older_than=None) == 0
        assert len(keys_under(service, server, "lanes/")) == 1
        assert keys_under(service, server, "changed/") == []

        assert listener.changes(token).reset, "it was told of five writers, and has not heard it"
        assert not listener.changes(followed).reset
        monkeypatch.undo()
        assert listener.trim_outputs(5 * 6) == 0
        assert listener.trim_outputs(5 * 6 - 1) == 6
        done(listener.commit([put("later", 1)]))
        assert listener.changes(followed).stored == [Stored("job", "later", 1, b"{}")]


def test_what_an_unfinished_commit_has_staged(service: ConsulService, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not there; a repetition takes its place; and it is removed when nobody has repeated it."""
    server = service.fresh()
    runs = [ran(number) for number in range(100)]
    outputs = [Output("run-7", attempt, b"x" * 50_000, 50_000) for attempt in range(1, 20)]
    element = put("a", 1, runs=runs, outputs=outputs)
    with opened(server) as driver, opened(server) as reader:
        for repeated in True, False:
            with monkeypatch.context() as patch:
                patch.setattr(driver._committer, "_send", dying(driver._committer._send, after=4))
                with pytest.raises(StoreUnavailable, match="it died"):
                    driver.commit([element])
            assert keys_under(service, server, "runs/") != []
            assert kept(reader) == kept(reader, "job-a") == []
            assert reader.run("run-0") is None
            assert reader.output("run-7") == []
            assert reader.get("job", "a") is None
            if repeated:
                done(reader.commit([element]))
                assert kept(driver) == [run.id for run in reversed(runs)]
                assert driver.output("run-7") == outputs
                assert driver.trim_outputs(50_000 * 19) == 0
                done(driver.commit([drop("a", 1)]))
                assert driver.forget(["job-a"]) == 100
            else:
                monkeypatch.setattr(consul_pruning, "OVER", 0)
                assert reader.prune(None, keep=0, older_than=None) == 0
        for part in "runs/", "history/", "outputs/", "data/", "printed/", "staged/", "jobs-history/":
            assert keys_under(service, server, part) == [], part
        assert driver.trim_outputs(0) == 0


def dying(send: Callable[..., object], after: int) -> Callable[..., object]:
    count = 0

    def sent(*arguments: object) -> object:
        nonlocal count
        count += 1
        if count > after:
            raise StoreUnavailable("it died")
        return send(*arguments)

    return sent


def test_buckets_of_time(service: ConsulService, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that were appended long after they ended go by their end; buckets that are empty go as well."""
    server = service.fresh()
    with opened(server) as driver:
        now = driver.now()
        with monkeypatch.context() as patch:
            patch.setattr(driver._stamps, "_now", lambda: START)
            append(driver, [ran(number, ended=START) for number in range(3)], [printed("run-1")])
            patch.setattr(driver._stamps, "_now", lambda: START + 5_000 * SECOND)
            append(driver, [ran(3, ended=START + 5_000 * SECOND), ran(4, ended=START - 9_000 * SECOND)])
        append(driver, [ran(5, ended=now), ran(6, ended=START - 8_000 * SECOND)])
        assert len({key.split("/")[1] for key in keys_under(service, server, "times/")}) == 3
        assert kept(driver) == [f"run-{number}" for number in range(6, -1, -1)]

        assert driver.prune(None, keep=0, older_than=START - 8_500 * SECOND) == 1
        assert driver.prune(None, keep=0, older_than=START - 7_500 * SECOND) == 1
        assert driver.prune(None, keep=0, older_than=START) == 0
        assert driver.prune(None, keep=0, older_than=START + 1) == 3
        assert driver.output("run-1") == []
        assert kept(driver) == ["run-5", "run-3"]
        assert len({key.split("/")[1] for key in keys_under(service, server, "times/")}) == 2
        assert driver.prune(None, keep=0, older_than=now) == 1
        assert kept(driver) == ["run-5"]


def test_its_keys_are_its_own(service: ConsulService) -> None:
    """Others may lie beside them: another Kala has its jobs under `jobs/`."""
    server = service.fresh()
    service.put(f"{prefix_of(server)}jobs/abc", json.dumps({"id": "abc"}).encode())
    with opened(server) as driver:
        done(driver.commit([put("a", 1, runs=[ran(1)])]))
        assert [stored.key for stored in driver.load("job")] == ["a"]
        assert driver.forget(["job-a"]) == 1
    assert keys_under(service, server, "jobs/") == ["jobs/abc"]
