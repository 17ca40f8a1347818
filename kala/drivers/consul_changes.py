"""Listening, for `consul.py`: what was written to records since a token.

A token is the database's id and an index: Consul numbers its transactions, and answers with the number of the one that
wrote a key last. The lanes' heads, read at one moment, tell up to which index everything is known; of the lanes that
went on since the token's index, what `changed/` says since then is read, backwards.
"""

import re
from collections.abc import Iterator

import msgspec

from kala.drivers.consul_commit import Committer
from kala.drivers.consul_http import Agent, Entry
from kala.drivers.consul_keys import Head, Keys
from kala.drivers.consul_lane import Identity, Name
from kala.drivers.consul_time import Deadline
from kala.drivers.contract import Changes

BLOCK = 1  # hexadecimal digits of a number: so many slots are asked for at first

_token = re.compile("([0-9a-f]{16}):([0-9]{1,18})")
_head_decoder = msgspec.json.Decoder(Head)
_names_decoder = msgspec.json.Decoder(list[tuple[str, str]])


class _OverwrittenError(Exception):
    """What is asked for is not told of any more."""


class Listening:
    """Tells what has changed, for one driver."""

    def __init__(self, agent: Agent, keys: Keys, identity: Identity, committer: Committer) -> None:
        self._agent, self._keys, self._identity, self._committer = agent, keys, identity, committer

    def changes(self, since: str) -> Changes:
        deadline = Deadline()
        self._identity.verify(deadline)
        found = self._agent.trees([self._keys.lanes, self._keys.forgotten], deadline)  # at one moment
        heads = [entry for entry in found if entry.key != self._keys.forgotten]
        forgotten = max((int(entry.data) for entry in found if entry.key == self._keys.forgotten), default=0)
        last = max((entry.modify_index for entry in heads), default=0)
        last = max(last, forgotten)
        token = f"{self._identity.database}:{last}"
        read = _token.fullmatch(since)
        if read is None or read[1] != self._identity.database or not forgotten <= int(read[2]) <= last:
            return Changes([], [], token, reset=True)
        index = int(read[2])
        names: set[Name] = set()
        try:
            for head in heads:
                if head.modify_index > index:
                    names.update(self._of_lane(head, index, deadline))
        except _OverwrittenError:
            return Changes([], [], token, reset=True)
        wanted = {self._keys.record(*name): name for name in names}
        entries = self._agent.found(wanted, deadline)
        stored = [self._committer.stored(*wanted[key], entry) for key, entry in entries.items()]
        deleted = [name for key, name in wanted.items() if key not in entries]
        return Changes([one for one in stored if one is not None], deleted, token)

    def _of_lane(self, head: Entry, index: int, deadline: Deadline) -> Iterator[Name]:
        """The records that a lane wrote since an index."""
        lane = head.key.removeprefix(self._keys.lanes)
        number = _head_decoder.decode(head.data).number
        slots = self._slots(lane, number, BLOCK, deadline)
        everything = False
        while number > 0:
            slot = slots.get(self._keys.slot(lane, number))
            if slot is None and not everything:
                slots, everything = self._slots(lane, number, None, deadline), True
                continue
            if slot is None:
                raise _OverwrittenError
            if slot.modify_index <= index:
                return
            yield from _names_decoder.decode(slot.data)
            number -= 1

    def _slots(self, lane: str, number: int, digits: int | None, deadline: Deadline) -> dict[str, Entry]:
        """Those around a number, or all of the lane."""
        key = self._keys.slot(lane, number)
        prefix = f"{self._keys.changed}{lane}/" if digits is None else key[:-digits]
        return {entry.key: entry for entry in self._agent.entries(prefix, deadline)}
