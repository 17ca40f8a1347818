"""PostgreSQL behind TLS, and as one of several servers."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from missing import require
from servers.certificates import Certificates, certificates
from servers.postgres import USER, PostgresService

from kala.drivers.contract import Stored
from kala.drivers.postgres import PostgresDriver
from kala.drivers.server import Server, Tls
from kala.errors import StoreRefused, StoreUnavailable

from .conformance.database import done, kept, put

# Several servers


@pytest.mark.slow
def test_a_standby_is_refused_until_it_takes_over(tmp_path: Path) -> None:
    require(PostgresService)
    primary = PostgresService(tmp_path / "primary").start()
    standby = None
    try:
        server = primary.fresh()
        alone = PostgresDriver(server)
        alone.open()
        done(alone.commit([put("a", 1), put("b", 1)]))
        standby = primary.standby(tmp_path / "standby").start()
        name = primary.database(server)
        follower = PostgresDriver(Server(f"127.0.0.1:{standby.port}/{name}", USER, server.password))
        with pytest.raises(StoreUnavailable, match="it is a standby, which cannot be written"):
            follower.open()

        hosts = f"127.0.0.1:{standby.port},127.0.0.1:{primary.port}"
        both = PostgresDriver(Server(f"{hosts}/{name}", USER, server.password))
        both.open()
        done(both.commit([put("a", 2)]))
        token = both.changes("").token
        written = primary.admin("select pg_current_wal_lsn()")[0][0]
        standby.wait_until(
            lambda: standby.admin(f"select pg_last_wal_replay_lsn() >= '{written}'") == [(True,)], "it does not follow"
        )
        primary.kill()
        with pytest.raises(StoreUnavailable, match=r"it cannot be reached.*; .*it is a standby"):
            both.open()
        standby.promote()
        both.open()
        assert both.get("job", "a") == Stored("job", "a", 2, b"{}")
        done(both.commit([put("a", 3)]))
        told = both.changes(token)
        assert told.reset, "what the other one had may be lost, and its numbers given again"
        assert both.changes(told.token).stored == []
        assert kept(both) == []
        both.close()
    finally:
        for one in primary, standby:
            if one is not None:
                one.kill()


# TLS

PIDS = f"select pid from pg_stat_activity where usename = '{USER}' order by pid"


class Secure:
    """A server that takes TLS alone, and its certificates."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.files: Certificates = certificates(folder)
        self.service = PostgresService(folder / "server")
        files = ("ssl_cert_file", self.files.server), ("ssl_key_file", self.files.server_key)
        for name, value in ("ssl", "on"), *files, ("ssl_ca_file", self.files.ca):
            self.service.options += ["-c", f"{name}={value}"]
        self.service.start()
        self.server = self.service.fresh()
        self.let_in("hostssl all all 127.0.0.1/32 scram-sha-256")

    def let_in(self, rule: str) -> None:
        self.service.let_in(rule)
        self.service.admin("select pg_reload_conf()")

    def asked(self, tls: Tls, *, host: str = "127.0.0.1", query: str = "") -> PostgresDriver:
        database = self.service.database(self.server)
        return PostgresDriver(Server(f"{host}:{self.service.port}/{database}{query}", USER, self.server.password, tls))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    require(PostgresService)
    made = Secure(tmp_path_factory.mktemp("tls") / "files")
    yield made
    made.service.kill()


def test_tls_by_a_ca_and_a_name(secure: Secure) -> None:
    ca = secure.files.ca
    for tls, host in [
        (Tls(ca=ca), "127.0.0.1"),
        (Tls(ca=ca), "localhost"),
        (Tls(ca=ca, name="db.example"), "127.0.0.1"),
    ]:
        made = secure.asked(tls, host=host)
        made.open()
        done(made.commit([put("a", 1)]))
        pids = secure.service.admin(PIDS)
        for _ in range(3):
            done(made.commit([put("a", 1)]))
        assert secure.service.admin(PIDS) == pids, "a connection is used again"
        made.close()
    by_option = secure.asked(Tls(), query=f"?sslmode=verify-ca&sslrootcert={ca}")
    by_option.open()
    by_option.close()


def test_tls_that_is_refused_says_why(secure: Secure) -> None:
    files = secure.files
    for tls, query, says in [
        (Tls(ca=files.other_ca), "", "is not vouched for by the CA in --jobdb-tls-capath"),
        (Tls(ca=files.ca, name="another.example"), "", "--jobdb-tls-servername says which it must have"),
        (Tls(), "?sslmode=disable", "its pg_hba.conf does not let this user in from here"),
    ]:
        with pytest.raises(StoreRefused) as refused:
            secure.asked(tls, query=query).open()
        assert says in str(refused.value)
    if ssl.get_default_verify_paths().cafile:
        with pytest.raises(StoreRefused, match="not vouched for"):
            secure.asked(Tls(name="db.example")).open()
    secure.service.options, options = [], secure.service.options
    secure.service.restart()
    try:
        with pytest.raises(StoreRefused, match="it does not speak TLS"):
            secure.asked(Tls(ca=files.ca)).open()
    finally:
        secure.service.options = options
        secure.service.restart()


def test_the_server_may_want_a_certificate(secure: Secure) -> None:
    files = secure.files
    secure.let_in("hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-full")
    try:
        with pytest.raises(StoreRefused, match="it wants a certificate of us: --jobdb-tls-certpath"):
            secure.asked(Tls(ca=files.ca)).open()
        made = secure.asked(Tls(ca=files.ca, certificate=files.client, key=files.client_key))
        made.open()
        made.close()
    finally:
        secure.let_in("hostssl all all 127.0.0.1/32 scram-sha-256")
