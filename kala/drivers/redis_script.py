"""Calls of the script that does everything on a Redis server, for `redis.py`.

A server that starts again may have lost what was written last, if its settings let it, and numbers other changes the
same. It has lost its scripts as well. So whoever finds the script missing begins an epoch of the database before it
gives it to the server: none of our writes comes earlier. Every call says in which epoch its driver last heard of which
change, and the script refuses it when an epoch has begun since at a lower one. As scripts are a server's, and epochs a
database's, each database has a script of its own: the text ends in its id.
"""

import hashlib
import threading
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import msgspec
from redis.exceptions import NoScriptError

from kala.drivers.redis_faults import faults
from kala.drivers.redis_link import Command, Link, deadline

TEXT = "\n".join(
    [files("kala.drivers").joinpath(f"{name}.lua").read_text() for name in ("redis", "redis_records", "redis_history")]
    + ["return answer()"]
)

EPOCH = """
if redis.call('HEXISTS', 'kala:meta', 'database') == 1 then
  local epoch = redis.call('HINCRBY', 'kala:meta', 'epoch', 1)
  redis.call('HSET', 'kala:epochs', epoch, redis.call('HGET', 'kala:meta', 'changed'))
  redis.call('HDEL', 'kala:epochs', epoch - 100)
end
"""
"""Begins an epoch: `kala:epochs` says with which change, for the last hundred."""


class Script:
    """The script on one server, and what is known of the database there."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.database = ""  # an id of this one's
        self._heard = (0, 0)  # the epoch and the number of the latest change that was heard of
        self._lock = threading.Lock()  # for that
        self._text = TEXT

    def open(self, database: str, until: float) -> tuple[int, int]:
        """Make or find a database. Returns the version of its schema, and the version that the script knows; these
        are the same when it is ready for calls. A new one has `database` as its id."""
        self.database, self._heard, self._text = "", (0, 0), TEXT
        version, ours, found, epoch, changed = self.call("open", database, until=until)
        if version == ours:
            self.database = found.decode(errors="replace")
            self._heard = (epoch, changed)
            self._text = f"{TEXT} -- {self.database}"
        return version, ours

    def call(self, function: str, *arguments: object, until: float | None = None) -> Any:
        """What a function of the script answers. `until` is as in `Link.ask`."""
        return self.calls(function, [packed(*arguments)], until)[0]

    def calls(self, function: str, given: Sequence[bytes], until: float | None = None) -> list[Any]:
        """What it answers to each of these arguments, which are sent at once."""
        until = deadline() if until is None else until
        sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()
        calls: list[Command] = [
            ("EVALSHA", sha, 1, "kala:meta", function, self.database, *self._heard, each) for each in given
        ]
        answers = self._link.ask(*calls, until=until)
        missing = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if missing:
            self._load(until)
            again = self._link.ask(*[calls[place] for place in missing], until=until)
            for place, answer in zip(missing, again, strict=True):
                answers[place] = answer
        self._raise(answers)
        return answers

    def _load(self, until: float) -> None:
        if self.database:
            (sha,) = self._raise(self._link.ask(("SCRIPT", "LOAD", EPOCH), until=until))
            self._raise(self._link.ask(("EVALSHA", sha, 1, "kala:meta"), until=until))
        self._raise(self._link.ask(("SCRIPT", "LOAD", self._text), until=until))

    def _raise(self, answers: list[Any]) -> list[Any]:
        with faults(self._link.place):
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return answers

    def heard(self, epoch: int, changed: int) -> None:
        """An answer told of a change."""
        with self._lock:
            self._heard = max(self._heard, (epoch, changed))


def packed(*arguments: object) -> bytes:
    return msgspec.msgpack.encode(arguments)


def string(data: bytes) -> msgspec.Raw:
    """Bytes, packed as a string: the only kind that a server's scripts unpack, and they take any bytes in it."""
    return msgspec.Raw(b"\xdb" + len(data).to_bytes(4, "big") + data)
