"""Opening a database in Consul, for `consul.py`: whose it is, which version its keys have, what an address says."""

import logging
import secrets
from collections.abc import Callable, Sequence

import msgspec

from kala.drivers.consul_http import Agent, Op
from kala.drivers.consul_keys import Keys, Meta, encode
from kala.drivers.consul_lane import SCHEMA, Identity
from kala.drivers.consul_time import Deadline
from kala.drivers.server import Address, Server, read_address
from kala.errors import SettingsError, StoreRefused

MIGRATIONS: Sequence[Callable[[Agent, Keys], None]] = ()
"""What leads from each schema version to the next, from 1 on; each may be broken off and done again."""
SCHEMES = {"consul": None, "http": False, "https": True}
PORT = 8500

_log = logging.getLogger(__name__)


def read(server: Server) -> Address:
    """The address of an agent. Raises `SettingsError`."""
    address = read_address(server, SCHEMES, PORT)
    path = address.path.strip("/") or "kala"
    if len(address.hosts) > 1:
        raise SettingsError("--jobdb-address: Consul is reached by one agent, best the one on this host: name that one")
    if strange := sorted(set(address.options) - {"dc"}):
        raise SettingsError(f"--jobdb-address: there is no option {', '.join(strange)}: for Consul there is dc")
    if address.username:
        raise SettingsError(
            "--jobdb-username: Consul knows no user names: --jobdb-password is the secret id of a token"
        )
    if address.secure is False and server.tls:
        raise SettingsError("--jobdb-address: http:// is without TLS, and --jobdb-tls-… were given: write https://")
    return msgspec.structs.replace(address, path=path)


def take(agent: Agent, keys: Keys, identity: Identity) -> str:
    """Create or migrate what is there, and say in the log what the agent does not promise. Returns its version."""
    deadline = Deadline()
    version, keeps_nothing = agent.about(deadline)
    while (entry := agent.found([keys.meta], deadline).get(keys.meta)) is None:
        meta = Meta(SCHEMA, secrets.token_hex(8))
        agent.transact([Op("cas", keys.meta, encode(meta))], deadline)  # or another has done it
    try:
        meta = msgspec.json.decode(entry.data, type=Meta)
    except msgspec.DecodeError:
        raise StoreRefused(
            f"{agent.place}: what is under {keys.meta} is not Kala's: put another path behind the address"
        ) from None
    if meta.schema > SCHEMA:
        raise StoreRefused(
            f"{agent.place}: its schema is version {meta.schema}, and this program knows up to {SCHEMA}:"
            " use a newer one"
        )
    # The same bytes again change nothing, and show that it may be written.
    agent.transact([Op("cas", keys.meta, entry.data, entry.modify_index)], deadline)
    agent.was_taken = True
    for step in MIGRATIONS[meta.schema - 1 :]:
        step(agent, keys)
        meta = msgspec.structs.replace(meta, schema=meta.schema + 1)
        _, faults = agent.transact([Op("cas", keys.meta, encode(meta), entry.modify_index)], deadline)
        if faults:
            return take(agent, keys, identity)  # another migrates too
        entry = agent.found([keys.meta], deadline)[keys.meta]
    identity.took(meta, entry.modify_index)
    if keeps_nothing:
        _log.warning(
            "%s: this Consul agent runs with -dev and keeps nothing: at its end all jobs are lost."
            " Start it with -server and -data-dir",
            agent.place,
        )
    return version
