"""Consul's key-value store, by the HTTP API of one agent (`consul_keys.py` says what stands where).

A write is answered when a majority of the servers have it on disk (Raft); a read asks the leader, which makes sure that
it still is one. A batch is transactions of 64 operations and 512 KiB, a few at once. Everything is in the memory of the
servers: it is for thousands of jobs rather than for millions of runs.

Consul tells no clock but the whole seconds of its answers: `now` is this machine's clock where it agrees with them to
the second, and is moved to the nearest moment at which it would where not. So daemons on several hosts agree to a
second; for more, let NTP set their clocks. The variables CONSUL_HTTP_… are not read.
"""

import logging
from collections.abc import Iterator, Sequence

from kala.clock import Moment
from kala.drivers.consul_changes import Listening
from kala.drivers.consul_commit import Committer
from kala.drivers.consul_draft import SPARE
from kala.drivers.consul_history import History
from kala.drivers.consul_http import Agent
from kala.drivers.consul_keys import Keys, Stamps, decoded_text
from kala.drivers.consul_lane import Identity, Lanes
from kala.drivers.consul_opening import read, take
from kala.drivers.consul_pruning import Pruner
from kala.drivers.consul_removal import Removal
from kala.drivers.consul_time import Deadline
from kala.drivers.contract import Changes, Conflict, Element, RunPage, RunQuery, Stored, refuse_larger
from kala.drivers.server import Server
from kala.errors import StoreCorrupt
from kala.job import Output, Run

LARGEST = 256 * 1024
"""Bytes of a value or an output: in a transaction's base64, and with what goes with it, they fit."""

_log = logging.getLogger(__name__)


class ConsulDriver:
    """The address is `host:port/prefix?dc=datacenter`, where all may be left out; the password is a token's secret id.
    Raises `SettingsError` for what cannot be used."""

    name = "consul"
    max_batch = 1_000
    max_batch_bytes = 4 * 1024 * 1024

    def __init__(self, server: Server) -> None:
        address = read(server)
        self.place = address.place
        self.server = ""
        self.max_value = self.max_output = LARGEST
        self._agent = agent = Agent(address, address.password, server.tls)
        self._keys = keys = Keys(f"{address.path}/")
        self._identity = identity = Identity(agent, keys)
        self._stamps = stamps = Stamps(agent.clock.now)
        lanes = Lanes(agent, keys, identity, stamps)
        removal = Removal(agent, keys, lanes)
        self._committer = Committer(agent, keys, identity, lanes, stamps, removal)
        self._history = history = History(agent, keys, removal)
        self._pruner = Pruner(agent, keys, lanes, history, removal, agent.clock)
        self._listening = Listening(agent, keys, identity, self._committer)

    def open(self) -> None:
        version = take(self._agent, self._keys, self._identity)
        self.server = f"Consul {version}".rstrip()
        self.max_value = self.max_output = min(LARGEST, (self._agent.largest - SPARE) * 2 // 3)

    def close(self) -> None:
        self._identity.forget()
        self._agent.close()

    def now(self) -> Moment:
        self._agent.look_at_clock()
        return self._agent.clock.now()

    def load(self, kind: str) -> Iterator[Stored]:
        self._identity.verify(Deadline())
        prefix = self._keys.kind(kind)
        for shard in self._agent.names(prefix, Deadline(), "/"):
            for entry in self._agent.entries(shard, Deadline()):
                name = entry.key.removeprefix(shard)
                try:
                    key = decoded_text(name)
                except ValueError as error:
                    _log.error("%s", StoreCorrupt(kind, name, str(error)))
                    continue
                stored = self._committer.stored(kind, key, entry)
                if stored is not None:
                    yield stored

    def get(self, kind: str, key: str) -> Stored | None:
        name = self._keys.record(kind, key)
        entry = self._agent.found([name], Deadline()).get(name)
        return None if entry is None else self._committer.stored(kind, key, entry)

    def commit(self, batch: Sequence[Element]) -> list[Conflict | None]:
        refuse_larger(batch, self)
        return self._committer.commit(batch)

    def run(self, run_id: str) -> Run | None:
        return self._history.run(run_id)

    def runs(self, query: RunQuery) -> RunPage:
        return self._history.runs(query)

    def output(self, run_id: str) -> list[Output]:
        return self._history.output(run_id)

    def prune(self, jobs: Sequence[str] | None, *, keep: int, older_than: Moment | None) -> int:
        return self._pruner.prune(jobs, keep, older_than)

    def trim_outputs(self, limit: int) -> int:
        return self._pruner.trim(limit)

    def forget(self, jobs: Sequence[str]) -> int:
        return self._pruner.forget(jobs)

    def changes(self, since: str) -> Changes:
        return self._listening.changes(since)
