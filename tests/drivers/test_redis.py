"""What only Redis has: its addresses, its refusals, TLS, what its settings cost, servers that lose what was written."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from missing import require
from servers.certificates import Certificates, certificates
from servers.redis import RedisService, number_of
from servers.service import Service, free_port

from kala.drivers import redis_link
from kala.drivers.contract import Stored
from kala.drivers.redis import RedisDriver
from kala.drivers.redis_faults import RIGHTS
from kala.drivers.redis_link import read_redis_address
from kala.drivers.server import Server, Tls
from kala.errors import KalaError, SettingsError, StoreRefused, StoreUnavailable

from .conformance.database import done, put, ran
from .conformance.races import at_once


@pytest.fixture
def service(started: Callable[[str], Service]) -> RedisService:
    found = started("redis")
    assert isinstance(found, RedisService)
    return found


@contextmanager
def another(folder: Path, *options: str) -> Iterator[RedisService]:
    """A server of a test's own, with options."""
    require(RedisService)
    made = RedisService(folder / "redis")
    made.options = list(options)
    try:
        yield made.start()
    finally:
        made.kill()


@contextmanager
def opened(server: Server) -> Iterator[RedisDriver]:
    driver = RedisDriver(server)
    driver.open()
    try:
        yield driver
    finally:
        driver.close()


def refusal(server: Server, *kinds: type[KalaError]) -> str:
    """What opening says: twice, as it may be tried again."""
    driver = RedisDriver(server)
    said = []
    for _ in range(2):
        with pytest.raises(kinds or StoreRefused) as refused:
            driver.open()
        said.append(str(refused.value))
        assert said[-1].startswith(f"{driver.place}: ")
        assert not server.password or server.password not in said[-1]
    return said[-1]


# Addresses


@pytest.mark.parametrize(
    ("address", "place", "number"),
    [
        ("", "127.0.0.1:6379", 0),
        ("db", "db:6379", 0),
        ("db:7000", "db:7000", 0),
        ("db:7000/", "db:7000", 0),
        ("db/3", "db:6379/3", 3),
        ("[::1]:7000/3", "[::1]:7000/3", 3),
        ("redis://db", "db:6379", 0),
        ("REDIS://:p%40ss@db:7000/12", "db:7000/12", 12),
        ("redis://db?db=4", "db:6379/4", 4),
        ("rediss://me:secret@db/1", "db:6379/1", 1),
        ("unix:///run/redis/redis.sock", "/run/redis/redis.sock", 0),
        ("unix://me:secret@/run/redis.sock?db=2", "/run/redis.sock/2", 2),
    ],
)
def test_addresses(address: str, place: str, number: int) -> None:
    driver = RedisDriver(Server(address))
    assert driver.place == place
    assert driver.server == ""
    assert read_redis_address(Server(address))[2] == number


def test_the_settings_come_before_the_address() -> None:
    given = read_redis_address(Server("redis://me:secret@db", "you", "other"))[0]
    assert (given.username, given.password) == ("you", "other")
    given = read_redis_address(Server("redis://:secret@db"))[0]
    assert (given.username, given.password) == ("", "secret")


@pytest.mark.parametrize(
    ("server", "says"),
    [
        (Server("a,b:1"), "name the master"),
        (Server("redis://a/jobs"), "the number of a database"),
        (Server("a/-1"), "the number of a database"),
        (Server("a/99999999999"), "the number of a database"),
        (Server("a?timeout=3"), "no option 'timeout'"),
        (Server("http://a"), "http://"),
        (Server("unix://"), "unix:///path"),
        (Server("unix:///run/redis.sock", tls=Tls(ca="/ca.pem")), "no TLS"),
        (Server("rediss://a", tls=Tls(ca="/no/such/file")), "--jobdb-tls-capath"),
    ],
)
def test_addresses_that_are_refused(server: Server, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        RedisDriver(server)


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "r.sock"
    with another(tmp_path, "--unixsocket", str(path)) as service:
        given = service.fresh()
        with opened(Server(f"unix://{path}?db=3", given.username, given.password)) as driver:
            done(driver.commit([put("a", 1)]))
            assert driver.get("job", "a") == Stored("job", "a", 1, b"{}")


# Refusals


def test_logins_that_are_refused(service: RedisService) -> None:
    server = service.fresh()
    for wrong in (
        Server(server.address, "kala", "wrong"),
        Server(server.address, "nobody", server.password),
        Server(server.address, "", server.password),
        Server(server.address),
    ):
        assert "--jobdb-username and --jobdb-password" in refusal(wrong)


def test_a_password_where_there_is_none(tmp_path: Path) -> None:
    with another(tmp_path, "--user", "default", "on", "nopass", "~*", "+@all") as service:
        assert service.process is not None
        with closing(service.client()) as client:
            client.config_set("requirepass", "")
        assert "--jobdb-username and --jobdb-password" in refusal(Server(f"127.0.0.1:{service.port}", "", "secret"))
        with opened(Server(f"127.0.0.1:{service.port}")) as driver:
            done(driver.commit([put("a", 1)]))


@pytest.mark.parametrize(
    "lacking",
    ["+@hash", "+@sortedset", "+evalsha", "+script|load", "+type", "+time", "-zpopmin", "-hstrlen", "~kala:*"],
)
def test_rights_that_are_missing(service: RedisService, lacking: str) -> None:
    """They are known before anything is written."""
    server = service.fresh()
    number = number_of(server)
    rights = [right for right in RIGHTS.split() if right != lacking] + ([lacking] if lacking.startswith("-") else [])
    with closing(service.client(number)) as client:
        client.script_flush()
        client.execute_command("ACL SETUSER", "poor", "reset", "on", ">secret", *rights)
        assert f"ACL SETUSER <name> {RIGHTS}" in refusal(Server(server.address, "poor", "secret"))
        assert client.exists("kala:meta") == 0


def test_no_database_of_that_number(service: RedisService) -> None:
    server = service.fresh()
    beyond = Server(f"127.0.0.1:{service.port}/20000", server.username, server.password)
    assert "no database of this number" in refusal(beyond)


def test_a_newer_schema(service: RedisService) -> None:
    server = service.fresh()
    with opened(server) as driver, closing(service.client(number_of(server))) as client:
        assert client.hget("kala:meta", "version") == b"1"
        client.hset("kala:meta", "version", 2)
        assert "version 2, and this program knows versions up to 1" in refusal(server)
        client.hset("kala:meta", "version", 1)
        done(driver.commit([put("a", 1)]))


@pytest.mark.parametrize("key", ["kala:meta", "kala:changed", "kala:records:job", "kala:history:state:succeeded"])
def test_a_key_of_another_type(service: RedisService, key: str) -> None:
    """It is named, and nothing of an element is written."""
    server = service.fresh()
    with closing(service.client(number_of(server))) as client:
        if key == "kala:meta":
            client.set(key, "x")
            assert f"'{key}' is a string, and Kala's is a hash" in refusal(server)
            return
        with opened(server) as driver:
            assert driver.get("job", "a") is None
            client.set(key, "x")
            before = client.dbsize()
            with pytest.raises(StoreRefused, match=f"'{key}' is a string"):
                driver.commit([put("a", 1, runs=[ran(1)])])
            assert client.dbsize() == before
            assert driver.run("run-1") is None
            client.delete(key)
            done(driver.commit([put("a", 1, runs=[ran(1)])]))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--cluster-enabled", "yes"], "part of a Redis Cluster"),
        (["--maxmemory-policy", "allkeys-lru"], "set it to noeviction"),
    ],
)
def test_servers_that_are_not_used(tmp_path: Path, options: list[str], says: str) -> None:
    with another(tmp_path, *options) as service:
        assert says in refusal(Server(f"127.0.0.1:{service.port}", "kala", service.fresh().password))


def test_a_replica_is_unavailable(tmp_path: Path) -> None:
    with another(tmp_path) as service:
        server = service.fresh()
        service.read_only(True)
        assert "name its master" in refusal(server, StoreUnavailable)
        service.read_only(False)
        with opened(server) as driver:
            done(driver.commit([put("a", 1)]))
            with closing(service.client()) as client:
                client.config_set("min-replicas-to-write", 1)
                if service.version() >= "Redis 7":  # before, it does not hold scripts to it
                    with pytest.raises(StoreUnavailable, match="too few of its replicas"):
                        driver.commit([put("a", 2)])
                assert driver.get("job", "a") == Stored("job", "a", 1, b"{}")


def test_what_is_not_redis() -> None:
    with talking(lambda peer: peer.recv(1) and peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        assert "not Redis" in refusal(Server(f"127.0.0.1:{port}"))
    with talking(lambda peer: peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")) as port:
        assert "not Redis" in refusal(Server(f"127.0.0.1:{port}"), StoreUnavailable, StoreRefused)


def test_nobody_listens() -> None:
    assert "cannot be reached" in refusal(Server(f"127.0.0.1:{free_port()}"), StoreUnavailable)
    assert "cannot be reached" in refusal(Server("no-such-host.invalid"), StoreUnavailable)


@contextmanager
def talking(say: Callable[[socket.socket], object]) -> Iterator[int]:
    """A port at which something takes connections, and says something to each."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                with peer:
                    try:
                        say(peer)
                        while peer.recv(65_536):
                            pass
                    except OSError:
                        continue  # it went away

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_server_that_trickles_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is the call's, not that of one step: redis-py alone would read on for ever."""
    monkeypatch.setattr(redis_link, "CALL", 1.0)
    ended = threading.Event()

    def trickle(peer: socket.socket) -> None:
        peer.sendall(b"$1000000\r\n")
        while not ended.wait(0.05):
            peer.sendall(b"x")

    with talking(trickle) as port:
        begun = time.monotonic()
        try:
            with pytest.raises(StoreUnavailable, match="does not answer in time"):
                RedisDriver(Server(f"127.0.0.1:{port}")).open()
        finally:
            ended.set()
        assert time.monotonic() - begun < 30  # and not for as long as it trickles


def test_calls_wait_for_a_connection(service: RedisService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_link, "CONNECTIONS", 2)
    monkeypatch.setattr(redis_link, "TURN_WAIT", 20.0)
    server = service.fresh()
    with opened(server) as driver, closing(service.client()) as client:
        at_once(*[lambda: [driver.now() for _ in range(20)]] * 10)  # type: ignore[list-item]
        ours = [each for each in client.client_list() if each["db"] == str(number_of(server))]
        assert 1 <= len(ours) <= 2


def test_a_closed_driver_is_not_open(service: RedisService) -> None:
    with opened(service.fresh()) as driver:
        done(driver.commit([put("a", 1)]))
        loading = driver.load("job")
        driver.close()
        for call in (lambda: driver.get("job", "a"), lambda: next(loading), driver.now):
            with pytest.raises(StoreUnavailable, match="not open"):
                call()


# What its settings cost


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--appendonly", "no"], "appendonly is off"),
        (["--appendfsync", "everysec"], "appendfsync is everysec: a loss of power takes about the last second"),
        (["--appendfsync", "no"], "appendfsync is no"),
        (["--appendfsync", "always", "--user", "kala", "-config"], "appendfsync could not be looked at"),
        (["--appendfsync", "always", "--user", "kala", "-info"], "INFO is not permitted"),
        (["--appendfsync", "always"], ""),
    ],
)
def test_what_can_be_lost_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, options: list[str], says: str
) -> None:
    *options, last = options
    change = last if last.startswith("-") else ""
    with another(tmp_path, *(options[:-2] if change else [*options, last])) as service:
        if change:
            with closing(service.client()) as client:
                client.execute_command("ACL SETUSER", "kala", change)
        server = service.fresh()
        with caplog.at_level(logging.WARNING), opened(server) as driver:
            done(driver.commit([put("a", 1)]))
        assert driver.server in (service.version(), "Redis")
    logged = [record.getMessage() for record in caplog.records]
    assert len(logged) == bool(says), logged
    assert all(each.startswith(f"{driver.place}: ") and says in each for each in logged)


def test_a_server_that_comes_back_empty(tmp_path: Path) -> None:
    with another(tmp_path, "--appendonly", "no") as service, opened(service.fresh()) as driver:
        done(driver.commit([put("a", 1)]))
        service.kill()
        service.start()
        for _ in range(2):
            with pytest.raises(StoreRefused, match="emptied or replaced"):
                driver.commit([put("b", 1)])
            with pytest.raises(StoreRefused, match="emptied or replaced"):
                list(driver.load("job"))
        driver.open()
        assert driver.get("job", "a") is None
        done(driver.commit([put("b", 1)]))


def test_a_server_that_comes_back_without_what_was_written_last(tmp_path: Path) -> None:
    """Whoever heard of it is refused, or loads anew; who did not goes on, whatever is written since."""
    with another(tmp_path, "--appendonly", "no") as service:
        server = service.fresh()
        with opened(server) as writer, opened(server) as listener:
            done(writer.commit([put("a", 1), put("b", 1)]))
            before = listener.changes("").token
            with closing(service.client()) as client:
                client.save()
            done(writer.commit([put("a", 2), put("c", 1)]))
            with opened(server) as other:
                after = other.changes("").token
            service.kill()
            service.start()

            told = listener.changes(before)
            assert (told.stored, told.deleted, told.reset) == ([], [], False)
            done(listener.commit([put("d", number) for number in (1,)]))
            for revision in range(2, 6):
                done(listener.commit([put("d", revision)]))
            with pytest.raises(StoreRefused, match="lost what was written last"):
                writer.commit([put("a", 3)])
            assert listener.changes(after).reset
            assert listener.changes(before).stored == [Stored("job", "d", 5, b"{}")]
            writer.open()
            assert writer.get("job", "a") == Stored("job", "a", 1, b"{}")
            done(writer.commit([put("a", 2)]))


def test_scripts_that_are_cleared_are_given_again(service: RedisService) -> None:
    with opened(service.fresh()) as driver, closing(service.client()) as client:
        done(driver.commit([put("a", 1)]))
        token = driver.changes("").token
        client.script_flush()
        done(driver.commit([put(f"k{number}", 1) for number in range(300)]))
        client.script_flush()
        told = driver.changes(token)
        assert (len(told.stored), told.reset) == (300, False)


# TLS


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


@contextmanager
def secured(folder: Path, files: Certificates, *options: str) -> Iterator[tuple[RedisService, int]]:
    port = free_port()
    tls = ("--tls-port", str(port), "--tls-cert-file", files.server, "--tls-key-file", files.server_key)
    with another(folder, *tls, "--tls-ca-cert-file", files.ca, *options) as service:
        yield service, port


def test_tls(tmp_path: Path, files: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    with secured(tmp_path, files, "--tls-auth-clients", "no") as (service, port):
        password = service.fresh().password

        def server(address: str, **tls: str) -> Server:
            return Server(address.format(port), "kala", password, Tls(**tls))

        for good in (
            server("rediss://localhost:{}/1", ca=files.ca),
            server("127.0.0.1:{}/1", ca=files.ca),
            server("redis://127.0.0.1:{}/1", ca=files.ca, name="db.example"),
        ):
            with opened(good) as driver:
                value = b"x" * 3_000_000
                revision = 1 if (found := driver.get("job", "a")) is None else found.revision + 1
                done(driver.commit([put("a", revision, value)]))
                assert driver.get("job", "a") == Stored("job", "a", revision, value)
        assert "not vouched for" in refusal(server("127.0.0.1:{}", ca=files.other_ca))
        assert "not vouched for" in refusal(server("rediss://127.0.0.1:{}"))
        assert "--jobdb-tls-servername" in refusal(server("127.0.0.1:{}", ca=files.ca, name="other.example"))
        refusal(server("127.0.0.1:{}"), StoreUnavailable)
        plain = Server(f"127.0.0.1:{service.port}", "kala", password, Tls(ca=files.ca))
        monkeypatch.setattr(redis_link, "CONNECTING", 0.3)
        assert "not answer in TLS" in refusal(plain, StoreUnavailable)


def test_certificates_of_clients(tmp_path: Path, files: Certificates) -> None:
    with secured(tmp_path, files, "--tls-auth-clients", "yes") as (service, port):
        password = service.fresh().password
        both = Tls(files.ca, files.client, files.client_key)
        with opened(Server(f"127.0.0.1:{port}", "kala", password, both)) as driver:
            done(driver.commit([put("a", 1)]))
        assert "wants a certificate of us" in refusal(Server(f"127.0.0.1:{port}", "kala", password, Tls(files.ca)))
