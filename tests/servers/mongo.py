"""What speaks MongoDB's protocol and can be had by all: FerretDB 1 on SQLite, and SecantusDB. Neither is MongoDB."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from pymongo import MongoClient

from kala.drivers.mongo_address import Document
from kala.drivers.server import Server, Tls, read_address
from servers.service import Service, found

PASSWORD = "of the tests: /@:%"
DISK_FULL, NOT_PRIMARY = 14_031, 10_107
SQLITE = "_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=auto_vacuum(none)&_pragma=synchronous(off)"
"""FerretDB's own, but for the last: what it wrote outlives its process, and no more is asked of it here."""
WRITES = ["insert", "update", "delete", "findAndModify", "create", "createIndexes"]


class MongoService(Service):
    engine = "mongo"
    tls: Tls | None = None  # how to come in

    def client(self, **options: Any) -> MongoClient[Document]:
        """As one who may do everything."""
        if self.tls is not None:
            options |= {"tls": True, "tlsCAFile": self.tls.ca}
            if self.tls.certificate:
                both = self.folder / "client.pem"
                both.write_text(Path(self.tls.certificate).read_text() + Path(self.tls.key).read_text())
                options["tlsCertificateKeyFile"] = str(both)
        return MongoClient("127.0.0.1", self.port, serverSelectionTimeoutMS=2_000, directConnection=True, **options)

    def answers(self) -> bool:
        with self.client() as client:
            return bool(client.admin.command("ping")["ok"])

    def wipe(self, server: Server) -> None:
        with self.client() as client:
            client.drop_database(read_address(server, {}, 0).path)


class FerretService(MongoService):
    """FerretDB 1, which keeps its databases in SQLite's files. Its users are not ours to use: that needs PostgreSQL."""

    title = "FerretDB"
    programs = ("ferretdb",)

    def prepare(self) -> None:
        (self.folder / "data").mkdir()

    def command(self) -> Sequence[str]:
        given = [
            "--handler=sqlite",
            f"--sqlite-url=file:{self.folder}/data/?{SQLITE}",
            f"--state-dir={self.folder}",
            "--telemetry=disable",
            "--debug-addr=-",
            "--log-level=WARN",
        ]
        if self.tls is None:
            return [found("ferretdb"), *given, f"--listen-addr=127.0.0.1:{self.port}"]
        return [found("ferretdb"), *given, "--listen-addr=", f"--listen-tls=127.0.0.1:{self.port}"]

    def version(self) -> str:
        with self.client() as client:
            return f"FerretDB {client.admin.command('buildInfo')['ferretdbVersion'].removeprefix('v')}"

    def fresh(self) -> Server:
        return Server(f"127.0.0.1:{self.port}/{self.next_name()}", tls=self.tls or Tls())


class SecantusService(MongoService):
    """SecantusDB, as a set of one server, with users."""

    title = "SecantusDB"
    programs: ClassVar[Sequence[str]] = ()
    admin = ("admin", "the admin's")
    has_users = False  # the first start is without them, to make the first

    @classmethod
    def missing(cls) -> str:
        return "" if shutil.which(cls.daemon()) else "secantusdb"

    @staticmethod
    def daemon() -> str:
        return str(Path(sys.executable).with_name("secantusd-py"))

    def command(self) -> Sequence[str]:
        return [
            self.daemon(),
            "--host=127.0.0.1",
            f"--port={self.port}",
            f"--storage-path={self.folder}/data",
            "--cache-size=256M",
            "--log-level=WARNING",
            "--enable-test-commands",  # by which it fails when it is told to
            *(["--auth"] if self.has_users else []),
        ]

    def client(self, **options: Any) -> MongoClient[Document]:
        if self.has_users:
            options = {"username": self.admin[0], "password": self.admin[1], **options}
        return super().client(**options)

    def start(self) -> "SecantusService":
        super().start()
        if not self.has_users:
            with self.client() as client:
                client.admin.command("createUser", self.admin[0], pwd=self.admin[1], roles=["root"])
            self.has_users = True
            self.restart()
        return self

    def version(self) -> str:
        with self.client() as client:
            return f"SecantusDB {client.admin.command('buildInfo')['secantusVersion']}"

    def fresh(self) -> Server:
        name = self.next_name()
        with self.client() as client:
            client[name].command("createUser", name, pwd=PASSWORD, roles=[{"role": "readWrite", "db": name}])
        # It says that it is a set of one; without the option a client would go past a proxy to that one.
        return Server(f"127.0.0.1:{self.port}/{name}?directConnection=true", name, PASSWORD, self.tls or Tls())

    def old_password(self) -> None:
        with self.client() as client:
            for number in range(1, self._made + 1):
                name = f"kala_test_{number}"
                client[name].command("updateUser", name, pwd="another")

    def read_only(self, on: bool) -> None:
        self._fail(NOT_PRIMARY, on)

    def full(self, on: bool) -> None:
        self._fail(DISK_FULL, on)

    def _fail(self, code: int, on: bool) -> None:
        with self.client() as client:
            client.admin.command(
                "configureFailPoint",
                "failCommand",
                mode="alwaysOn" if on else "off",
                data={"errorCode": code, "failCommands": WRITES},
            )
