"""What only PostgreSQL has: its addresses, its refusals, its schema, and transactions out of order."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers.postgres import USER, PostgresService
from servers.service import Service

from kala.drivers import postgres_connection, postgres_pruning, postgres_schema
from kala.drivers.contract import RunQuery, Stored
from kala.drivers.postgres import PostgresDriver
from kala.drivers.postgres_connection import Bounded, Way
from kala.drivers.postgres_schema import MIGRATIONS
from kala.drivers.server import Server, Tls
from kala.errors import SettingsError, StoreRefused, StoreUnavailable
from kala.job import Output

from .conformance.database import append, done, drop, printed, put, ran
from .conformance.races import at_once


@pytest.fixture
def service(started: Callable[[str], Service]) -> PostgresService:
    found = started("postgres")
    assert isinstance(found, PostgresService)
    return found


@pytest.fixture
def server(service: PostgresService) -> Server:
    return service.fresh()


@pytest.fixture
def driver(server: Server) -> Iterator[PostgresDriver]:
    """An open one, with one job in it."""
    made = PostgresDriver(server)
    made.open()
    done(made.commit([put("a", 1, b"{}", runs=[ran(1)])]))
    yield made
    made.close()


def shell(service: PostgresService, server: Server, *statements: str) -> list[tuple[object, ...]]:
    """What the administrator says in psql; the rows of the last statement."""
    return [service.admin(statement, database=service.database(server)) for statement in statements][-1]


# Addresses


@pytest.mark.parametrize(
    ("address", "place", "options"),
    [
        ("", "127.0.0.1:5432/kala", {}),
        ("db", "db:5432/kala", {}),
        ("db:5433/jobs?sslmode=disable", "db:5433/jobs", {"sslmode": "disable", "dbname": "jobs"}),
        ("postgresql://me:p%40ss@db/jobs", "db:5432/jobs", {"user": "me", "password": "p@ss"}),
        ("postgres://db/?dbname=jobs&user=me", "db:5432/jobs", {"user": "me"}),
        ("a:1,b,[::1]:3/jobs?target_session_attrs=any", "a:1,b:5432,[::1]:3/jobs", {"target_session_attrs": "any"}),
        ("postgresql:///jobs?host=/run/postgresql&port=5433", "/run/postgresql/.s.PGSQL.5433/jobs", {}),
        ("db?options=-csearch_path%3Dkala&connect_timeout=3", "db:5432/kala", {"options": "-csearch_path=kala"}),
        ("a,b?port=77", "a:77,b:77/kala", {}),
    ],
)
def test_addresses(address: str, place: str, options: dict[str, str]) -> None:
    way = Way(Server(address))
    assert way.where.place == place
    assert options.items() <= way.options.items()
    assert PostgresDriver(Server(address)).place == place


def test_the_settings_come_before_the_address() -> None:
    way = Way(Server("postgresql://me:mine@db/jobs?user=we", "you", "yours"))
    assert (way.options["user"], way.options["password"], way.where.username) == ("you", "yours", "you")


@pytest.mark.parametrize(
    ("server", "says"),
    [
        (Server("mysql://db/jobs"), "may begin with postgresql://, postgres://"),
        (Server("db:http"), "'http' is not a port"),
        (Server("db?port=0"), "'0' is not a port"),
        (Server("db/jobs?ssl_mode=off"), "PostgreSQL has no option 'ssl_mode'"),
        (Server("db/jobs?sslmode=on"), "sslmode must be one of disable, allow"),
        (Server("db?connect_timeout=soon"), "connect_timeout must be a number"),
        (Server("db?sslmode=disable", tls=Tls(name="db.example")), "sslmode=disable, and --jobdb-tls-… ask for TLS"),
        (Server("db", tls=Tls(ca="/no/such.pem")), "--jobdb-tls-capath: /no/such.pem cannot be used"),
    ],
)
def test_addresses_that_cannot_be(server: Server, says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        PostgresDriver(server)
    assert says in str(refused.value)


def test_a_socket_will_do(service: PostgresService, server: Server) -> None:
    if not service.sockets:
        pytest.skip("the folder's name is too long for a socket")
    database = service.database(server)
    made = PostgresDriver(
        Server(f"postgresql:///{database}?host={service.sockets}&port={service.port}", USER, service.password)
    )
    made.open()
    done(made.commit([put("a", 1)]))
    assert made.place == f"{service.sockets}/.s.PGSQL.{service.port}/{database}"
    made.close()


# Refusals


def no_password(service: PostgresService, server: Server) -> Server:
    return Server(server.address, USER, "wrong-secret")


def no_user(service: PostgresService, server: Server) -> Server:
    return Server(server.address, "nobody", "wrong-secret")


def no_database(service: PostgresService, server: Server) -> Server:
    return Server(f"127.0.0.1:{service.port}/no such", USER, server.password)


def no_connecting(service: PostgresService, server: Server) -> Server:
    shell(service, server, f"revoke connect on database {service.database(server)} from public")
    return server


def no_making(service: PostgresService, server: Server) -> Server:
    shell(service, server, f"revoke create on schema public from {USER}")
    return server


def no_reading(service: PostgresService, server: Server) -> Server:
    PostgresDriver(server).open()
    shell(service, server, "alter table kala_meta owner to postgres")
    return server


def no_schema(service: PostgresService, server: Server) -> Server:
    shell(service, server, "drop schema public")
    return server


def anothers_meta(service: PostgresService, server: Server) -> Server:
    shell(service, server, "create table kala_meta (id int)", f"grant all on kala_meta to {USER}")
    return server


def anothers_records(service: PostgresService, server: Server) -> Server:
    shell(service, server, "create table kala_records (id int)")
    return server


def empty_meta(service: PostgresService, server: Server) -> Server:
    PostgresDriver(server).open()
    shell(service, server, "delete from kala_meta")
    return server


def newer_schema(service: PostgresService, server: Server) -> Server:
    PostgresDriver(server).open()
    shell(service, server, "update kala_meta set value = '93' where name = 'schema'")
    return server


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (no_password, "set --jobdb-username and --jobdb-password, or KALA_JOBDB_USERNAME and KALA_JOBDB_PASSWORD"),
        (no_user, "set --jobdb-username and --jobdb-password"),
        (no_database, 'create it with: create database "no such"'),
        (no_connecting, "the user may not connect: grant connect on database"),
        (no_making, 'grant usage, create on schema public to "kala"'),
        (no_reading, 'grant all on all tables in schema public to "kala"'),
        (no_schema, "there is no schema to make tables in"),
        (anothers_meta, "its table kala_meta is another program's"),
        (anothers_records, "tables of these names that are another program's"),
        (empty_meta, "its table kala_meta is another program's"),
        (newer_schema, f"its schema is version 93, and this program knows versions up to {len(MIGRATIONS)}"),
    ],
)
def test_refusals_name_the_place_and_say_what_to_do(
    service: PostgresService,
    server: Server,
    make: Callable[[PostgresService, Server], Server],
    says: str,
) -> None:
    given = make(service, server)
    made = PostgresDriver(given)
    for _ in range(2):
        with pytest.raises(StoreRefused) as refused:
            made.open()
        assert str(refused.value).startswith(f"{made.place}: ")
        assert says in str(refused.value)
        assert given.password not in str(refused.value)
    made.close()


def test_an_older_server_is_refused_by_name(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_connection, "OLDEST", 99)
    with pytest.raises(StoreRefused, match=r"PostgreSQL \d\d answers, and 99 is the oldest that will do"):
        PostgresDriver(server).open()


def test_a_name_that_nobody_knows_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match=r"db\.invalid:5432: its name cannot be found"):
        PostgresDriver(Server("db.invalid")).open()


def test_it_says_what_answers(service: PostgresService, driver: PostgresDriver) -> None:
    assert driver.server == service.version()


# The schema


def test_an_older_schema_is_migrated_and_keeps_what_is_there(
    service: PostgresService, server: Server, driver: PostgresDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = (("alter table kala_history add column node text", "update kala_history set node = 'here'"),)
    monkeypatch.setattr(postgres_schema, "MIGRATIONS", MIGRATIONS + later)
    for _ in range(2):  # and only once
        driver.open()
        assert shell(service, server, "select node from kala_history") == [("here",)]
    assert shell(service, server, "select value from kala_meta where name = 'schema'") == [(str(len(MIGRATIONS) + 1),)]
    assert driver.run("run-1") == ran(1)


def test_a_migration_that_fails_leaves_all_as_it_was(
    service: PostgresService, server: Server, driver: PostgresDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = (("create table kala_new (a int)",), ("delete from kala_records", "this is not SQL"))
    monkeypatch.setattr(postgres_schema, "MIGRATIONS", MIGRATIONS + broken)
    with pytest.raises(Exception, match="syntax error"):
        driver.open()
    assert shell(service, server, "select to_regclass('kala_new')") == [(None,)]
    monkeypatch.undo()
    driver.open()
    assert driver.get("job", "a") == Stored("job", "a", 1, b"{}")


def test_a_database_is_opened_also_while_it_takes_no_writes(service: PostgresService, driver: PostgresDriver) -> None:
    service.read_only(True)
    try:
        driver.open()
        assert driver.get("job", "a") == Stored("job", "a", 1, b"{}")
    finally:
        service.read_only(False)


def test_every_commit_is_synchronous_whatever_the_user_is_set_to(
    service: PostgresService, server: Server, driver: PostgresDriver
) -> None:
    for given, kept_to in ("off", "on"), ("remote_apply", "remote_apply"):
        shell(service, server, f"alter role {USER} set synchronous_commit = {given}")
        try:
            connection = Way(server).connect(time.monotonic() + 9)
            assert connection.execute("show synchronous_commit").fetchone() == (kept_to,)
            connection.close()
        finally:
            shell(service, server, f"alter role {USER} reset synchronous_commit")


def test_settings_that_risk_the_data_are_logged_once(
    service: PostgresService, driver: PostgresDriver, caplog: pytest.LogCaptureFixture
) -> None:
    for name in "fsync", "full_page_writes":
        service.setting(name, "off")
    try:
        with caplog.at_level(logging.WARNING):
            driver.open()
    finally:
        for name in "fsync", "full_page_writes":
            service.setting(name, "on")
    [message] = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"{driver.place}: fsync and full_page_writes are off there")
    assert message.endswith("Set fsync = on and full_page_writes = on in postgresql.conf")
    caplog.clear()
    driver.open()
    assert not caplog.records


# Records that were spoilt


def test_a_record_with_a_strange_key_is_named_and_kept(
    service: PostgresService, server: Server, driver: PostgresDriver, caplog: pytest.LogCaptureFixture
) -> None:
    token = driver.changes("").token
    spoilt = "insert into kala_records select kind, '\\xff01', 1, pg_current_xact_id(), value from kala_records"
    shell(service, server, spoilt)
    assert [stored.key for stored in driver.load("job")] == ["a"]
    assert driver.changes(token).stored == []
    assert len([record for record in caplog.records if "job '\ufffd\\x01' cannot be read" in record.getMessage()]) == 2
    assert shell(service, server, "select count(*) from kala_records") == [(2,)]


def test_a_run_that_cannot_be_read_is_named_and_kept(
    service: PostgresService, server: Server, driver: PostgresDriver, caplog: pytest.LogCaptureFixture
) -> None:
    append(driver, [ran(2)])
    shell(service, server, "update kala_history set run = '{' where id = 'run-1'")
    assert driver.run("run-1") is None
    assert driver.runs(RunQuery()).runs == [ran(2)]
    assert "run 'run-1' cannot be read" in caplog.text


@pytest.mark.slow
def test_a_record_whose_bytes_are_lost_is_named_and_passed_over(
    tmp_path: Path, service: PostgresService, caplog: pytest.LogCaptureFixture
) -> None:
    """Its bytes are stored apart from its row, in a file of which a page is gone."""
    own = PostgresService(tmp_path / "server").start()
    try:
        server = own.fresh()
        made = PostgresDriver(server)
        made.open()
        large = os.urandom(100_000)  # which cannot be compressed
        keys = [f"k{number}" for number in range(5)]
        done(made.commit([put(key, 1, large if key == "k2" else b"small") for key in keys]))
        made.close()
        [(path,)] = shell(
            own,
            server,
            "checkpoint",
            "select pg_relation_filepath(reltoastrelid) from pg_class where relname = 'kala_records'",
        )
        own.stop()
        file = own.data / str(path)
        file.write_bytes(bytes(8_192) + file.read_bytes()[8_192:])
        own.start()
        made.open()
        assert [stored.key for stored in made.load("job")] == ["k0", "k1", "k3", "k4"]
        assert "job 'k2' cannot be read" in caplog.text
        made.close()
    finally:
        own.kill()


# Transactions


def test_what_becomes_visible_late_is_told(service: PostgresService, server: Server, driver: PostgresDriver) -> None:
    """A transaction that began first and ends last has an earlier number than what was told of meanwhile."""
    with service.session(service.database(server)) as other:
        other.execute("begin")
        other.execute("insert into kala_records values ('job', 'late', 1, pg_current_xact_id(), 'x')")
        done(driver.commit([put("early", 1, b"x")]))
        first = driver.changes(driver.changes("").token)
        assert first.stored == []
        done(driver.commit([put("early", 2, b"y")]))
        second = driver.changes(first.token)
        assert second.stored == [Stored("job", "early", 2, b"y")]
        assert driver.changes(second.token).stored == [], "it is not repeated because another one is under way"
        other.execute("commit")
    assert driver.changes(second.token).stored == [Stored("job", "late", 1, b"x")]
    assert len(driver.changes(first.token).stored) == 2


def test_deletions_that_are_forgotten_reset_older_tokens_alone(
    service: PostgresService, server: Server, driver: PostgresDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_pruning, "KEPT_DELETIONS", 5)
    done(driver.commit([put(f"k{number}", 1) for number in range(20)]))
    tokens = []
    for number in range(20):
        tokens.append(driver.changes("").token)
        done(driver.commit([drop(f"k{number}", 1)]))
    with service.session(service.database(server)) as other:
        other.execute("begin")
        other.execute("select pg_current_xact_id()")
        driver.prune(None, keep=0, older_than=None)
        assert [driver.changes(token).reset for token in tokens] == [True] * 15 + [False] * 5
        assert driver.changes(tokens[15]).deleted == [("job", f"k{number}") for number in range(15, 20)]
        begun = driver.changes("").token
        for number in range(20):
            done(driver.commit([put(f"k{number}", 2, expected=0), put(f"x{number}", 1)]))
            done(driver.commit([drop(f"k{number}", 2)]))
        driver.prune(None, keep=0, older_than=None)
        assert len(driver.changes(begun).deleted) == 20, "as long as a transaction is under way nothing goes"
        other.execute("commit")
    driver.prune(None, keep=0, older_than=None)
    assert driver.changes(begun).reset
    assert shell(service, server, "select count(*) from kala_records where value is null") == [(5,)]


@pytest.mark.parametrize("bad", ["5:3:", "1:9:7,5", "1:9:50", "99999999999999999999:99999999999999999999:", "0:0:"])
def test_what_looks_like_a_token_and_is_none_resets(driver: PostgresDriver, bad: str) -> None:
    database, timeline, _ = driver.changes("").token.split(":", 2)
    assert driver.changes(f"{database}:{timeline}:{bad}").reset


def test_a_database_from_a_dump_has_no_changes_to_come(
    service: PostgresService, server: Server, driver: PostgresDriver
) -> None:
    """Numbers of transactions are of the server that gave them."""
    shell(service, server, "update kala_records set changed = '99999999999'")
    driver.open()
    begun = driver.changes("")
    assert driver.changes(begun.token).stored == []
    done(driver.commit([put("a", 2)]))
    assert driver.changes(begun.token).stored == [Stored("job", "a", 2, b"{}")]


def test_writers_that_wait_for_each_other_in_a_circle_try_again(
    service: PostgresService, server: Server, driver: PostgresDriver
) -> None:
    """Somebody locks records in another order than ours."""
    done(driver.commit([put("b", 1)]))
    with service.session(service.database(server)) as other:
        other.execute("set deadlock_timeout = '1h'")  # so that it is not the one to give up
        other.execute("begin")
        other.execute("select from kala_records where key = 'b' for update")
        with_both = "select from kala_records where key = 'a' for update"
        pid = other.info.backend_pid

        def lock_when_the_commit_waits() -> None:
            blocked = f"select 1 from pg_stat_activity where {pid} = any(pg_blocking_pids(pid))"
            service.wait_until(lambda: service.admin(blocked), "the commit does not wait")
            other.execute(with_both)
            other.execute("commit")

        at_once(lambda: done(driver.commit([put("a", 2), put("b", 2)])), lock_when_the_commit_waits)
    assert driver.get("job", "b") == Stored("job", "b", 2, b"{}")


def test_a_batch_is_a_few_statements(driver: PostgresDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    execute = Bounded.execute

    def counted(self: Bounded, query: str, *given: object, **named: object) -> object:
        said.append(query)
        return execute(self, query, *given, **named)  # type: ignore[arg-type]

    done(driver.commit([put(f"k{number}", 1) for number in range(0, 1_000, 2)]))
    monkeypatch.setattr(Bounded, "execute", counted)
    done(
        driver.commit([put(f"k{n}", 2 - n % 2, runs=[ran(n + 9)], outputs=[printed(f"run-{n}")]) for n in range(1_000)])
    )
    assert len(said) == len(["begin", "database", "lock", "update", "insert", "history", "outputs", "commit"])


def test_connections_that_the_server_ended_are_noticed_before_they_are_used(
    service: PostgresService, driver: PostgresDriver
) -> None:
    assert driver.get("job", "a") is not None
    service.sessions_end()
    done(driver.commit([put("a", 2)]))
    assert driver.get("job", "a") == Stored("job", "a", 2, b"{}")


def test_outputs_that_somebody_removed_are_not_counted_for_ever(
    service: PostgresService, server: Server, driver: PostgresDriver
) -> None:
    append(driver, [], [Output("run-1", 1, b"x" * 1_000, 1_000)])
    shell(service, server, "delete from kala_outputs")
    assert driver.trim_outputs(100) == 0
    append(driver, [], [Output("run-2", 1, b"x" * 90, 90)])
    assert driver.trim_outputs(100) == 0
    assert len(driver.output("run-2")) == 1
