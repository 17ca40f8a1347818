"""A PostgreSQL server. When the tests are root's it runs as the user postgres, since it refuses to be root's."""

import atexit
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from kala.drivers.server import Server

from .service import Service, Unsupported, found

ADMIN = "postgres"
USER = "kala"
SLACK = 128 * 1024  # bytes that a full disk has left


class PostgresService(Service):
    """Databases of `fresh` belong to the administrator; the user may make tables in them, and has a SCRAM password.

    The user's tables are in a folder of their own, `room`, of which `full` makes a small file system.
    """

    engine: ClassVar[str] = "postgres"
    title: ClassVar[str] = "PostgreSQL"
    programs: ClassVar[Sequence[str]] = ("initdb", "postgres", "setpriv")
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # without waiting for its clients

    def __init__(self, folder: Path, port: int | None = None) -> None:
        super().__init__(folder, port)
        self.data = folder / "data"
        self.room = folder / "room"
        self.sockets = folder if len(str(folder)) < 80 else ""  # more does not fit a socket's name
        self.password = "k@la:%2F"

    def prepare(self) -> None:
        for path in self.data, self.room:
            self._make(path)
        self._run("initdb", "-D", self.data, "-A", "trust", "-U", ADMIN, "--no-sync", "-E", "UTF8", "--locale=C")
        self.let_in("host all all 127.0.0.1/32 scram-sha-256", "local all all scram-sha-256")

    def let_in(self, *rules: str) -> None:
        """Who may come in, beside the administrator: lines of pg_hba.conf, of which the first that fits decides."""
        first = f"host all {ADMIN} 127.0.0.1/32 trust", f"host replication {ADMIN} 127.0.0.1/32 trust"
        (self.data / "pg_hba.conf").write_text("".join(f"{rule}\n" for rule in (*first, *rules)))

    def _make(self, path: Path) -> None:
        path.mkdir(mode=0o700)
        if os.getuid() == 0:
            shutil.chown(path, "postgres", "postgres")

    def command(self) -> Sequence[str]:
        return self._as_user(
            *("postgres", "-D", self.data, "-p", self.port, "-k", self.sockets),
            *(
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                "max_connections=200",
                "-c",
                "password_encryption=scram-sha-256",
            ),
            *("-c", "log_min_messages=fatal"),
            *("-c", "autovacuum=off"),  # its transactions hold back what another test wants forgotten
        )

    def _as_user(self, *words: object) -> list[str]:
        name, *rest = map(str, words)
        command = [found(name), *rest]
        if os.getuid() != 0:
            return command
        # The folders of tests are root's alone.
        more = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *more, *command]

    def _run(self, *words: object) -> None:
        done = subprocess.run(self._as_user(*words), capture_output=True, text=True, cwd=self.folder)
        assert done.returncode == 0, done.stderr

    def answers(self) -> bool:
        if self.admin(f"select 1 from pg_roles where rolname = '{USER}'"):
            return True
        self.admin(SQL("create role {} login password {}").format(Identifier(USER), Literal(self.password)))
        self.admin("create database kala_fresh")
        self.admin(f"grant usage, create on schema public to {USER}", database="kala_fresh")
        self.admin(f"create tablespace room location '{self.room}'")
        self.admin(f"grant create on tablespace room to {USER}")
        self.admin(f"alter role {USER} set default_tablespace = 'room'")
        return True

    def version(self) -> str:
        [(text,)] = self.admin("show server_version")
        return f"PostgreSQL {text.split()[0]}"

    def admin(self, statement: Any, *, database: str = "postgres") -> list[tuple[Any, ...]]:
        """What the administrator says; the rows of the answer."""
        with self.session(database, options="-c default_transaction_read_only=off") as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else []

    def session(self, database: str = "postgres", **more: Any) -> psycopg.Connection:
        """A connection of the administrator."""
        place: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "user": ADMIN, "dbname": database}
        return psycopg.connect(**place, **more, connect_timeout=5, autocommit=True)

    def fresh(self) -> Server:
        name = self.next_name()
        self.admin(f"create database {name} template kala_fresh")
        return Server(f"127.0.0.1:{self.port}/{name}", USER, self.password)

    def database(self, server: Server) -> str:
        """The database's name."""
        return server.address.partition("/")[2].partition("?")[0]

    def sessions_end(self) -> None:
        """End every connection of the user, as an administrator may."""
        self.admin(f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = '{USER}'")

    def old_password(self) -> None:
        self.password += "!"
        self.admin(SQL("alter role {} password {}").format(Identifier(USER), Literal(self.password)))
        self.sessions_end()

    def read_only(self, on: bool) -> None:
        self.setting("default_transaction_read_only", "on" if on else "off")

    def setting(self, name: str, value: str) -> None:
        """Change a setting of the running server, for connections there are and those to come."""
        self.admin(f"alter system set {name} = '{value}'")
        self.admin("select pg_reload_conf()")
        self.wait_until(lambda: self._shown(name) == value, f"{name} does not change")

    def _shown(self, name: str) -> str:
        with self.session() as connection:
            [(shown,)] = connection.execute(f"show {name}").fetchall()
        return str(shown)

    def full(self, on: bool) -> None:
        """The server is started anew: its tables move to a file system that is as large as they are, and back."""
        if os.getuid() != 0:
            raise Unsupported("PostgreSQL can be made full by root alone, who may mount a file system")
        self.stop()
        aside = self.folder / "aside"
        if on:
            self.room.rename(aside)
            self._make(self.room)
            size = int(_told("du", "-s", "--block-size=1", aside).split()[0]) + SLACK
            try:
                _told("mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "kala-test", self.room)
            except subprocess.CalledProcessError as error:
                self.room.rmdir()
                aside.rename(self.room)
                self.start()
                raise Unsupported(f"no file system can be mounted here: {error.stderr.strip()}") from error
            atexit.register(self._unmount)
            _told("cp", "--archive", f"{aside}/.", self.room)
            shutil.rmtree(aside)
        else:
            _told("cp", "--archive", self.room, aside)
            self._unmount()
            atexit.unregister(self._unmount)
            self.room.rmdir()
            aside.rename(self.room)
        self.start()

    def standby(self, folder: Path) -> "PostgresService":
        """Another server, which follows this one. It is not started."""
        other = PostgresService(folder)
        folder.mkdir(parents=True)
        for path in other.data, other.room:
            other._make(path)
        source = f"host=127.0.0.1 port={self.port} user={ADMIN}"
        moved = f"{self.room}={other.room}"
        other._run("pg_basebackup", "-d", source, "-D", other.data, "-R", "-T", moved, "--checkpoint=fast", "--no-sync")
        return other

    def promote(self) -> None:
        """Make a standby the primary."""
        self.admin("select pg_promote()")

    def _unmount(self) -> None:
        _told("umount", "--lazy", self.room)

    def wipe(self, server: Server) -> None:
        database = self.database(server)
        self.admin("drop schema public cascade", database=database)
        self.admin(f"create schema public; grant usage, create on schema public to {USER}", database=database)

    def _signal(self, number: signal.Signals) -> None:
        """To the server and to its processes, each of which leads a session of its own."""
        assert self.process is not None
        pids = [self.process.pid]
        if number is signal.SIGSTOP:
            os.kill(self.process.pid, number)  # so that it starts no more of them
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == self.process.pid:
                    pids.append(int(folder.name))
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def _told(*words: object) -> str:
    """What a program says; `CalledProcessError` when it fails."""
    return subprocess.run([*map(str, words)], check=True, capture_output=True, text=True).stdout
