"""Redis: one server, a numbered database for each test, and a user who may touch keys under `kala:` alone."""

import secrets
from collections.abc import Sequence
from contextlib import closing

import redis

from kala.drivers.redis_faults import RIGHTS
from kala.drivers.server import Server
from servers.service import Service, found

DATABASES = 10_000


class RedisService(Service):
    """`appendfsync` is how it writes its log. With a port for TLS besides, when `secure` has been called."""

    engine = "redis"
    title = "Redis"
    programs = ("redis-server",)
    appendfsync = "always"

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)  # type: ignore[arg-type]
        self._administrator, self._password = secrets.token_hex(8), secrets.token_hex(8)

    def command(self) -> Sequence[str]:
        return [
            found("redis-server"),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
            *("--databases", str(DATABASES), "--save", "", "--appendonly", "yes", "--appendfsync", self.appendfsync),
            *("--requirepass", self._administrator),
            *("--user", "kala", "on", f">{self._password}", *RIGHTS.split()),
        ]

    def client(self, number: int = 0) -> "redis.Redis":
        """As the administrator, on a database."""
        return redis.Redis(port=self.port, db=number, password=self._administrator, socket_timeout=30)

    def answers(self) -> bool:
        with closing(self.client()) as client:
            return bool(client.ping()) and not client.info("persistence")["loading"]

    def version(self) -> str:
        with closing(self.client()) as client:
            info = client.info("server")
        return f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"

    def fresh(self) -> Server:
        return Server(f"127.0.0.1:{self.port}/{self.next_number()}", "kala", self._password)

    def next_number(self) -> int:
        self._made += 1
        assert self._made < DATABASES
        return self._made

    def old_password(self) -> None:
        """Connections that are there stay, as Redis has it."""
        self._password = secrets.token_hex(8)
        with closing(self.client()) as client:
            client.execute_command("ACL SETUSER", "kala", "resetpass", f">{self._password}")

    def read_only(self, on: bool) -> None:
        with closing(self.client()) as client:
            client.execute_command("REPLICAOF", *(("127.0.0.1", "1") if on else ("NO", "ONE")))  # no master is there

    def full(self, on: bool) -> None:
        """There is room for a few records still."""
        with closing(self.client()) as client:
            client.config_set("maxmemory", client.info("memory")["used_memory"] + 1_000_000 if on else 0)

    def wipe(self, server: Server) -> None:
        with closing(self.client(number_of(server))) as client:
            client.flushdb()


def number_of(server: Server) -> int:
    return int(server.address.rpartition("/")[2])
