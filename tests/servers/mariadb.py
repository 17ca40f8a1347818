"""MariaDB."""

import os
import resource
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from subprocess import run
from typing import Any

import pymysql

from kala.drivers.server import Server
from servers.certificates import Certificates, certificates
from servers.service import Service, found

RIGHTS = "select, insert, update, delete, create, alter, index"


class MariadbService(Service):
    """Its root has no password. It offers TLS, with a certificate of `certificates`."""

    engine = "mariadb"
    title = "MariaDB"
    programs = ("mariadbd", "mariadb-install-db", "openssl")

    def __init__(self, folder: Path, port: int | None = None) -> None:
        super().__init__(folder, port)
        self.data, self.socket = folder / "data", folder / "s"
        self.users: list[str] = []
        self.certificates: Certificates

    def prepare(self) -> None:
        (self.folder / "tls").mkdir()
        self.certificates = certificates(self.folder / "tls")
        run(
            [
                found("mariadb-install-db"),
                "--no-defaults",
                f"--datadir={self.data}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                *self._user(),
            ],
            check=True,
            capture_output=True,
        )

    def command(self) -> Sequence[str]:
        # XFSZ is ignored for `full`: a write beyond the limit fails then, and does not end the server.
        return [
            *("sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"),
            found("mariadbd"),
            "--no-defaults",
            f"--datadir={self.data}",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            f"--socket={self.socket}",
            f"--pid-file={self.folder / 'pid'}",
            "--skip-name-resolve",
            f"--ssl-ca={self.certificates.ca}",
            f"--ssl-cert={self.certificates.server}",
            f"--ssl-key={self.certificates.server_key}",
            "--innodb-log-file-size=16M",
            "--innodb-autoextend-increment=1",
            "--innodb-buffer-pool-size=128M",
            *self._user(),
        ]

    def _user(self) -> list[str]:
        return ["--user=root"] if os.geteuid() == 0 else []

    def ask(self, *statements: str, database: str | None = None) -> list[Any]:
        """What an administrator does; the rows of the last statement."""
        with closing(
            pymysql.connect(
                host="127.0.0.1",
                port=self.port,
                user="root",
                database=database,
                autocommit=True,
                ssl_disabled=True,
                read_timeout=30,
            )
        ) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall()) if statements else []

    def answers(self) -> bool:
        return self.ask("select 1") == [(1,)]

    def version(self) -> str:
        return f"MariaDB {self.ask('select version()')[0][0].partition('-')[0]}"

    def fresh(self) -> Server:
        name = self.next_name()
        password = f"pässwörd of {name}"
        self.users.append(name)
        self.ask(
            f"create database {name}",
            f"create user {name}@'%' identified by '{password}'",
            f"grant {RIGHTS} on {name}.* to {name}@'%'",
        )
        return Server(f"tcp(127.0.0.1:{self.port})/{name}", name, password)

    def old_password(self) -> None:
        self.ask(*(f"alter user {name}@'%' identified by 'another'" for name in self.users))

    def read_only(self, on: bool) -> None:
        self.ask(f"set global read_only = {int(on)}")

    def full(self, on: bool) -> None:
        """No file may be longer than the longest is now, and a little. All databases but the last are dropped, as
        their files are long, and may yet be written."""
        assert self.process is not None
        if on:
            self.ask(*(f"drop database if exists {name}" for name in self.users[:-1]))
        longest = max(path.stat().st_size for path in self.data.rglob("*") if path.is_file())
        limit = longest + (1 << 20) if on else resource.RLIM_INFINITY
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def wipe(self, server: Server) -> None:
        name = server.address.rpartition("/")[2]
        tables = self.ask(f"select table_name from information_schema.tables where table_schema = '{name}'")
        self.ask(*(f"drop table `{table}`" for (table,) in tables), database=name)
