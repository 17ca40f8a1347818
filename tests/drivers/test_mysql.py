"""What only MariaDB and MySQL have: logging in, TLS, tables, packets, locks, and what their settings cost."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pymysql
import pytest
from missing import require
from msgspec.structs import replace
from pymysql.constants import CLIENT
from servers.mariadb import RIGHTS, MariadbService
from servers.service import Service

from kala.clock import SECOND
from kala.drivers import mysql_link, mysql_removal, mysql_schema
from kala.drivers.contract import RunQuery, Stored
from kala.drivers.mysql import MysqlDriver
from kala.drivers.mysql_link import Session
from kala.drivers.server import Server, Tls
from kala.errors import StoreRefused, StoreUnavailable, ValueTooLarge
from kala.job import Output
from kala.states import State

from .conformance.database import START, append, done, drop, kept, printed, put, ran


@pytest.fixture
def service(started: Callable[[str], Service]) -> MariadbService:
    found = started("mariadb")
    assert isinstance(found, MariadbService)
    return found


@pytest.fixture
def server(service: MariadbService) -> Server:
    return service.fresh()


@pytest.fixture
def opened() -> Iterator[Callable[[Server], MysqlDriver]]:
    """Opens drivers, and closes them at the end."""
    drivers: list[MysqlDriver] = []

    def open_(server: Server) -> MysqlDriver:
        drivers.append(MysqlDriver(server))
        drivers[-1].open()
        return drivers[-1]

    yield open_
    for driver in drivers:
        driver.close()


@pytest.fixture
def driver(opened: Callable[[Server], MysqlDriver], server: Server) -> MysqlDriver:
    return opened(server)


def asked(driver: MysqlDriver, text: str) -> Any:
    """What a connection of the driver's is answered."""
    with driver._lines.turn(driver._lines.reader) as session:
        return session.ask(text.encode())[0].rows


# Coming in


def wrong_password(service: MariadbService, server: Server) -> Server:
    return replace(server, password="another")


def nobody(service: MariadbService, server: Server) -> Server:
    return replace(server, username="nobody")


def missing_database(service: MariadbService, server: Server) -> Server:
    service.ask(f"drop database {server.username}")
    return server


def database_of_another(service: MariadbService, server: Server) -> Server:
    return replace(server, address=service.fresh().address)


def only_reading(service: MariadbService, server: Server) -> Server:
    service.ask(f"revoke {RIGHTS} on {server.username}.* from {server.username}@'%'")
    service.ask(f"grant select on {server.username}.* to {server.username}@'%'")
    return server


def all_but_deleting(service: MariadbService, server: Server) -> Server:
    service.ask(f"revoke delete on {server.username}.* from {server.username}@'%'")
    return server


def newer_schema(service: MariadbService, server: Server) -> Server:
    driver = MysqlDriver(server)
    driver.open()
    driver.close()
    service.ask("update kala_meta set number = 99 where name = 'schema'", database=server.username)
    return server


def table_of_another(service: MariadbService, server: Server) -> Server:
    service.ask("create table kala_history (id int)", database=server.username)
    return server


def meta_of_another(service: MariadbService, server: Server) -> Server:
    service.ask("create table kala_meta (id int)", database=server.username)
    return server


def locked_account(service: MariadbService, server: Server) -> Server:
    service.ask(f"alter user {server.username}@'%' account lock")
    return server


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (wrong_password, "does not let the user in: see --jobdb-username and --jobdb-password"),
        (nobody, "does not let the user in: see --jobdb-username and --jobdb-password"),
        (missing_database, "there is no such database: create database `kala_test_"),
        (database_of_another, "grant select, insert, update, delete, create, alter, index on `kala_test_"),
        (only_reading, "grant select, insert, update, delete, create, alter, index on `kala_test_"),
        (all_but_deleting, "grant select, insert, update, delete, create, alter, index on `kala_test_"),
        (newer_schema, "its schema is version 99, and this program knows versions up to"),
        (table_of_another, "its tables named kala_… are another program's"),
        (meta_of_another, "its tables named kala_… are another program's"),
        (locked_account, "account is locked"),
    ],
)
def test_what_needs_a_person(
    service: MariadbService, server: Server, prepare: Callable[[MariadbService, Server], Server], says: str
) -> None:
    server = prepare(service, server)
    driver = MysqlDriver(server)
    for _ in range(2):
        with pytest.raises(StoreRefused, match=says) as refused:
            driver.open()
        assert str(refused.value).startswith(driver.place)
        assert server.password not in str(refused.value)


def test_a_database_that_is_missing_for_somebody_who_may_see_all(service: MariadbService) -> None:
    driver = MysqlDriver(Server(f"127.0.0.1:{service.port}/nowhere", "root"))
    with pytest.raises(StoreRefused, match="there is no such database: create database `nowhere`"):
        driver.open()


def test_nobody_listens(service: MariadbService) -> None:
    for address, says in ("tcp(127.0.0.1:1)/base", "refused"), ("unix(/nowhere)/base", "No such file"):
        with pytest.raises(StoreUnavailable, match=rf"base: the server cannot be reached.*{says}"):
            MysqlDriver(Server(address, "me")).open()
    with pytest.raises(StoreUnavailable, match="address was not found"):
        MysqlDriver(Server("nowhere.invalid/base", "me")).open()


def test_what_is_not_open(server: Server) -> None:
    driver = MysqlDriver(server)
    assert driver.server == ""
    driver.close()
    for call in driver.now, lambda: list(driver.load("job")):
        with pytest.raises(StoreUnavailable, match="it is not open"):
            call()


def test_by_a_socket(service: MariadbService, server: Server, opened: Callable[[Server], MysqlDriver]) -> None:
    name = server.username
    driver = opened(replace(server, address=f"unix({service.socket})/{name}"))
    done(driver.commit([put("a", 1)]))
    assert driver.place == f"unix({service.socket})/{name}"
    assert service.version() == driver.server


# TLS


def is_encrypted(driver: MysqlDriver) -> bool:
    return asked(driver, "show session status like 'Ssl_cipher'")[0][1] not in (b"", "")


def test_tls(service: MariadbService, server: Server, opened: Callable[[Server], MysqlDriver], caplog: Any) -> None:
    made, name = service.certificates, server.username
    by_name = f"localhost:{service.port}/{name}"
    assert not is_encrypted(opened(server))
    for address, tls in (
        (server.address, Tls(ca=made.ca)),
        (by_name, Tls(ca=made.ca)),
        (f"{server.address}?tls=custom", Tls(ca=made.ca, name="db.example")),
        (f"{server.address}?tls=true", Tls(ca=made.ca, certificate=made.client, key=made.client_key)),
    ):
        driver = opened(replace(server, address=address, tls=tls))
        assert is_encrypted(driver)
        done(driver.commit([put("a", 1, b"x" * 100_000)]))
        driver.get("job", "a")
    assert not caplog.records
    assert is_encrypted(opened(replace(server, address=f"{server.address}?tls=skip-verify")))
    assert "can pretend to be it" in caplog.text
    assert is_encrypted(opened(replace(server, address=f"{server.address}?tls=preferred")))
    assert "can read along" in caplog.text


def test_tls_that_is_refused(service: MariadbService, server: Server) -> None:
    made = service.certificates
    for address, tls, says in (
        (server.address, Tls(ca=made.other_ca), r"certificate is not accepted: .* \(--jobdb-tls-capath\)"),
        (f"{server.address}?tls=true", Tls(), r"certificate is not accepted: .* \(--jobdb-tls-capath\)"),
        (server.address, Tls(ca=made.ca, name="db.other"), r"mismatch.*\(--jobdb-tls-servername\)"),
    ):
        with pytest.raises(StoreRefused, match=says):
            MysqlDriver(replace(server, address=address, tls=tls)).open()


def test_a_user_who_must_show_a_certificate(
    service: MariadbService, server: Server, opened: Callable[[Server], MysqlDriver]
) -> None:
    made = service.certificates
    service.ask(f"alter user {server.username}@'%' require x509")
    for tls in Tls(), Tls(ca=made.ca):
        with pytest.raises(StoreRefused, match=r"or with a client certificate \(--jobdb-tls-…\)"):
            MysqlDriver(replace(server, tls=tls)).open()
    opened(replace(server, tls=Tls(ca=made.ca, certificate=made.client, key=made.client_key)))


@pytest.mark.parametrize("plugin", [b"mysql_clear_password", b"dialog"])
def test_the_password_is_told_to_nobody_in_the_clear(plugin: bytes) -> None:
    """To whoever answers at the address, and asks for it."""
    heard = []

    def packet(number: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3, "little") + bytes([number]) + payload

    def pretend(listener: socket.socket) -> None:
        with closing(listener.accept()[0]) as peer, peer.makefile("rb") as reader:
            flags = CLIENT.PROTOCOL_41 | CLIENT.PLUGIN_AUTH | CLIENT.SECURE_CONNECTION | CLIENT.CONNECT_WITH_DB
            low, high = (flags & 0xFFFF).to_bytes(2, "little"), (flags >> 16).to_bytes(2, "little")
            greeting = b"\x0a8.0.1\0" + bytes(4) + b"12345678\0" + low + b"\x2d\x02\0" + high + b"\x15" + bytes(10)
            peer.sendall(packet(0, greeting + b"123456789012\0mysql_native_password\0"))
            heard.append(reader.read(int.from_bytes(reader.read(4)[:3], "little")))
            prompt = b"\x03Password: " if plugin == b"dialog" else b""
            peer.sendall(packet(2, b"\xfe" + plugin + b"\0" + prompt))
            heard.append(reader.read())

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        pretending = pool.submit(pretend, listener)
        driver = MysqlDriver(Server(f"127.0.0.1:{listener.getsockname()[1]}/base", "me", "whisper"))
        with pytest.raises(StoreRefused, match="asks for the password in the clear, which only goes by TLS"):
            driver.open()
        pretending.result(10)
    assert b"me\0" in heard[0]
    assert b"whisper" not in b"".join(heard)


# What the server's settings cost


def test_what_may_be_lost_is_said_at_open(
    service: MariadbService, server: Server, opened: Callable[[Server], MysqlDriver], caplog: Any
) -> None:
    opened(server)
    assert not caplog.records
    service.ask("set global innodb_flush_log_at_trx_commit = 2")
    try:
        opened(server)
    finally:
        service.ask("set global innodb_flush_log_at_trx_commit = 1")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "innodb_flush_log_at_trx_commit is 2: what was just written may be lost" in record.message


@pytest.mark.slow
def test_a_server_of_its_own_settings(tmp_path: Any, opened: Callable[[Server], MysqlDriver], caplog: Any) -> None:
    require(MariadbService)
    service = MariadbService(tmp_path / "server")
    service.options = ["--log-bin", "--sync-binlog=0", "--skip-innodb-doublewrite", "--skip-ssl"]
    try:
        service.start()
        server = service.fresh()
        driver = opened(server)
        (record,) = caplog.records
        assert "sync_binlog is 0" in record.message
        assert "innodb_doublewrite is off" in record.message
        done(driver.commit([put("a", 1)]))

        with pytest.raises(StoreRefused, match="offers no TLS"):
            MysqlDriver(replace(server, address=f"{server.address}?tls=skip-verify")).open()
        assert not is_encrypted(opened(replace(server, address=f"{server.address}?tls=preferred")))

        service.ask("set global binlog_format = 'STATEMENT'")
        with pytest.raises(StoreRefused, match="binlog_format is STATEMENT"):
            opened(service.fresh())
    finally:
        service.kill()


def test_packets_bound_what_is_taken(
    service: MariadbService, server: Server, opened: Callable[[Server], MysqlDriver]
) -> None:
    (before,) = service.ask("select @@global.max_allowed_packet")[0]
    try:
        service.ask("set global max_allowed_packet = 1048576")
        driver = opened(server)
        service.ask("set global max_allowed_packet = 65536")
        with pytest.raises(StoreRefused, match="max_allowed_packet is 65536: set it to 16M or more"):
            opened(service.fresh())
    finally:
        service.ask(f"set global max_allowed_packet = {before}")
    assert 400_000 < driver.max_value < 524_288
    # Every byte of these is escaped, and they are more than a packet together.
    outputs = [Output(f"run-{number}", 1, b"'" * driver.max_output, 1) for number in range(4)]
    values = [put(f"{number}", 1, b"\\" * driver.max_value) for number in range(4)]
    done(driver.commit([*values, put("a", 1, runs=[ran(1)], outputs=outputs)]))
    assert [driver.output(output.run_id) for output in outputs] == [[output] for output in outputs]
    assert {stored.value for stored in driver.load("job")} == {b"\\" * driver.max_value, b"{}"}
    huge = replace(ran(2), reason="x" * 1_100_000)
    with pytest.raises(ValueTooLarge, match="run run-2"):
        driver.commit([put("b", 1, runs=[huge])])
    assert driver.get("job", "b") is None


def test_keys_that_are_too_long_are_refused(driver: MysqlDriver) -> None:
    longest = "ü" * 512
    done(driver.commit([put(longest, 1, runs=[replace(ran(1), id=longest, job_id=longest)])]))
    assert driver.get("job", longest) == Stored("job", longest, 1, b"{}")
    assert kept(driver, longest) == [longest]
    for element in (
        put(longest + "x", 1),
        put("a", 1, runs=[replace(ran(2), id=longest + "x")]),
        put("a", 1, runs=[replace(ran(2), job_id=longest + "x")]),
        put("a", 1, outputs=[printed(longest + "x")]),
    ):
        with pytest.raises(ValueTooLarge, match="is 1025 bytes, and the database takes at most 1024"):
            driver.commit([element])


# Tables


def test_a_new_database_is_opened_by_many_at_once(server: Server, opened: Callable[[Server], MysqlDriver]) -> None:
    with ThreadPoolExecutor(6) as pool:
        drivers = list(pool.map(opened, [server] * 6))
    for number, driver in enumerate(drivers):
        done(driver.commit([put(f"{number}", 1)]))
    assert len({driver.changes("").token for driver in drivers}) == 1


def test_migrations_keep_what_is_there(
    service: MariadbService,
    server: Server,
    opened: Callable[[Server], MysqlDriver],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = opened(server)
    done(driver.commit([put("a", 1, runs=[ran(1)])]))
    token = driver.changes("").token
    further = ("insert into kala_meta values ('new', 5, '') on duplicate key update number = number",)
    monkeypatch.setattr(mysql_schema, "MIGRATIONS", (*mysql_schema.MIGRATIONS, further))
    for _ in range(2):
        driver.open()
        rows = dict(service.ask("select name, number from kala_meta", database=server.username))
        assert (rows[b"schema"], rows[b"new"]) == (2, 5)
    assert driver.get("job", "a") == Stored("job", "a", 1, b"{}")
    assert not driver.changes(token).reset


def test_tables_of_others_stay(
    service: MariadbService, server: Server, opened: Callable[[Server], MysqlDriver]
) -> None:
    service.ask("create table jobs (id int)", "insert into jobs values (7)", database=server.username)
    done(opened(server).commit([put("a", 1)]))
    assert service.ask("select * from jobs", database=server.username) == [(7,)]


def test_what_a_hand_has_spoilt_is_named_and_kept(
    service: MariadbService, server: Server, driver: MysqlDriver, caplog: Any
) -> None:
    done(driver.commit([put("good", 1, runs=[ran(1)]), put("bad", 1, runs=[ran(2)])]))
    service.ask(
        "insert into kala_records values (_binary'job/\\xff\\'', 1, 9, 0, '{}')".replace("\\xff", "ÿ"),
        "update kala_records set name = x'6a6f622fff' where name like 'job/%' and changed = 9",
        "update kala_records set value = null where name = 'job/bad'",
        "update kala_history set run = '{' where id = 'run-2'",
        database=server.username,
    )
    assert list(driver.load("job")) == [Stored("job", "good", 1, b"{}")]
    assert kept(driver) == ["run-1"]
    assert driver.run("run-2") is None
    said = caplog.text
    assert "job '\ufffd' cannot be read and is left alone: its key is no text" in said
    assert "job 'bad' cannot be read and is left alone" in said
    assert "run 'run-2' cannot be read and is left alone" in said
    assert service.ask("select count(*) from kala_records", database=server.username) == [(3,)]


def test_deletions_are_told_up_to_a_bound(driver: MysqlDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql_removal, "KEPT_DELETIONS", 10)
    done(driver.commit([put(f"{number}", 1) for number in range(30)]))
    tokens = [driver.changes("").token]
    for number in range(30):
        done(driver.commit([drop(f"{number}", 1)]))
        tokens.append(driver.changes("").token)
    driver.prune(None, keep=0, older_than=None)
    assert driver.changes(tokens[0]).reset
    assert driver.changes(tokens[19]).reset
    assert len(driver.changes(tokens[20]).deleted) == 10
    assert asked(driver, "select count(*) from kala_records") == ((10,),)
    done(driver.commit([put("0", 1), put("29", 1)]))
    assert {stored.key for stored in driver.changes(tokens[20]).stored} == {"0", "29"}


# How it asks


def test_a_batch_is_two_messages(driver: MysqlDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    ask, asked_ = Session.ask, []
    monkeypatch.setattr(Session, "ask", lambda self, *each: asked_.append(len(each)) or ask(self, *each))
    for size in 1, 1_000:
        asked_.clear()
        done(
            driver.commit(
                [put(f"{size}-{number}", 1, b"v" * 500, runs=[ran(size * 1_000 + number)]) for number in range(size)]
            )
        )
        assert len(asked_) == 2


def reads(driver: MysqlDriver, call: Callable[[], object]) -> int:
    """How many rows of tables and indexes the server looks at for a call that one connection serves."""

    def count() -> int:
        return sum(int(value) for _, value in asked(driver, "show session status like 'Handler_read%'"))

    before = count()
    call()
    return count() - before


def test_pages_are_read_from_an_index(driver: MysqlDriver) -> None:
    states = (State.SUCCEEDED, State.FAILED, State.SKIPPED)
    append(driver, [ran(number, f"job-{number % 50}", states[number % 3]) for number in range(3_000)])
    middle = START + 1_500 * SECOND
    for query, most in (
        (RunQuery(limit=10), 40),
        (RunQuery(job_id="job-7", limit=10), 60),
        (RunQuery(states=frozenset({State.FAILED}), limit=10), 40),
        (RunQuery(states=frozenset({State.FAILED, State.SKIPPED}), limit=10), 80),
        (RunQuery(job_id="job-7", states=frozenset({State.FAILED}), limit=10), 100),
        (RunQuery(since=middle, until=middle + 20 * SECOND, limit=10), 150),
        (RunQuery(job_id="no such job"), 10),
    ):
        assert reads(driver, lambda query=query: driver.runs(query)) < most, query  # type: ignore[misc]
    assert reads(driver, lambda: driver.get("job", "run-7")) < 10
    assert reads(driver, lambda: driver.run("run-7")) < 10
    # Lists of names as well, also right after the table has grown and its statistics are old.
    for start in range(0, 3_000, 1_000):
        done(driver.commit([put(f"record-{number}", 1, kind="setting") for number in range(start, start + 1_000)]))
    with driver._lines.turn(driver._lines.writer) as session:
        before = session.ask(b"show session status like 'Handler_read%'")[0].rows
    done(driver.commit([put(f"record-{number}", 2, kind="setting") for number in range(300, 400)]))
    with driver._lines.turn(driver._lines.writer) as session:
        after = session.ask(b"show session status like 'Handler_read%'")[0].rows
    assert sum(int(value) for _, value in after) - sum(int(value) for _, value in before) < 1_000


def test_a_span_with_very_many_rows_is_read_from_its_end(driver: MysqlDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kala.drivers.mysql_history.DENSE", 500)
    append(driver, [ran(number) for number in range(1_000)])
    query = RunQuery(since=START + 100 * SECOND, limit=5)
    assert [run.id for run in driver.runs(query).runs] == [f"run-{number}" for number in range(999, 994, -1)]


# Connections and locks


def test_a_connection_that_the_server_has_closed_is_made_anew(
    service: MariadbService, server: Server, driver: MysqlDriver
) -> None:
    connections = f"select id from information_schema.processlist where user = '{server.username}'"
    done(driver.commit([put("a", 1)]))
    driver.now()
    for (number,) in service.ask(connections):
        service.ask(f"kill {number}")
    service.wait_until(lambda: not service.ask(connections), "connections stay")
    done(driver.commit([put("a", 2)]))
    driver.now()
    assert len(service.ask(connections)) == 2


def waits(service: MariadbService) -> int:
    """How often somebody has waited for the lock of a row, since the server's start."""
    return int(service.ask("show global status like 'Innodb_row_lock_waits'")[0][1])


@pytest.mark.slow
def test_a_lock_of_another_is_waited_for(
    service: MariadbService, server: Server, driver: MysqlDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(driver.commit([put("a", 1)]))
    monkeypatch.setattr(mysql_link, "LOCK_WAIT", 1)
    waiting = MysqlDriver(server)
    waiting.open()
    with (
        closing(
            pymysql.connect(
                host="127.0.0.1", port=service.port, user="root", database=server.username, ssl_disabled=True
            )
        ) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        cursor = other.cursor()
        cursor.execute("select * from kala_records where name = 'job/a' for update")
        # Longer than the server lets it wait at once: it asks again.
        before = waits(service)
        answer = pool.submit(waiting.commit, [put("a", 2, runs=[ran(1)])])
        service.wait_until(lambda: waits(service) >= before + 2, "nobody waits again")
        assert not answer.done()
        other.rollback()
        done(answer.result(10))

        cursor.execute("select * from kala_records where name = 'job/a' for update")
        monkeypatch.setattr(mysql_link, "LIMIT", 3.0)
        with pytest.raises(StoreUnavailable, match="other writers have held locks for too long"):
            waiting.commit([put("a", 3)])
    waiting.close()
    assert driver.get("job", "a") == Stored("job", "a", 2, b"{}")


def test_a_deadlock_is_done_again(service: MariadbService, server: Server, driver: MysqlDriver) -> None:
    """With somebody who does not lock in our order."""
    done(driver.commit([put("a", 1), put("b", 1)]))
    with (
        closing(
            pymysql.connect(
                host="127.0.0.1", port=service.port, user="root", database=server.username, ssl_disabled=True
            )
        ) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        cursor = other.cursor()
        # It has written much, so that the server takes the driver for the victim.
        cursor.execute("create table heavy (n int) engine = InnoDB")
        cursor.execute("insert into heavy values " + ", ".join(["(1)"] * 1_000))
        cursor.execute("select * from kala_records where name = 'job/b' for update")
        before = waits(service)
        answer = pool.submit(driver.commit, [put("a", 2), put("b", 2)])
        service.wait_until(lambda: waits(service) > before, "nobody waits")
        cursor.execute("select * from kala_records where name = 'job/a' for update")
        other.rollback()
        done(answer.result(10))
    assert {stored.revision for stored in driver.load("job")} == {2}


def test_two_that_create_the_same_at_once(
    server: Server, opened: Callable[[Server], MysqlDriver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have found nothing; the one that comes second learns of the first."""
    drivers = [opened(server), opened(server)]
    end, both = Session.end, threading.Barrier(2, timeout=20)
    first_tries = iter([True, True])

    def ends(self: Session, *last: bytes) -> Any:
        if next(first_tries, False):
            both.wait()
        return end(self, *last)

    monkeypatch.setattr(Session, "end", ends)
    with ThreadPoolExecutor(2) as pool:
        answers = list(
            pool.map(
                lambda number: drivers[number].commit([put("a", 1, b"%d" % number, runs=[ran(number)])])[0], (0, 1)
            )
        )
    (winner,) = [number for number in (0, 1) if answers[number] is None]
    refused = answers[1 - winner]
    assert refused is not None
    assert refused.current == Stored("job", "a", 1, b"%d" % winner)
    assert kept(drivers[0]) == [f"run-{winner}"]


def test_who_falls_silent_in_a_transaction_holds_up_others_for_seconds(
    server: Server, opened: Callable[[Server], MysqlDriver], monkeypatch: pytest.MonkeyPatch
) -> None:
    silent, other = opened(server), opened(server)
    done(other.commit([put("a", 1)]))

    def fall_silent() -> None:
        with silent._lines.turn(silent._lines.writer) as session:
            with monkeypatch.context() as patch:
                patch.setattr(mysql_link, "IN_TRANSACTION", 1)
                session.begin(silent._database, b"select * from kala_records where name = 'job/a' for update")
            done(other.commit([put("a", 2)]))
            session.end()

    with pytest.raises(StoreUnavailable, match="the connection broke"):
        fall_silent()
    done(silent.commit([put("a", 3)]))
