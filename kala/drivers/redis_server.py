"""What a Redis server tells of itself: whether Kala can use it, and what its settings cost of what is promised."""

import logging
import re
from collections.abc import Mapping

from kala.drivers.redis_faults import CLUSTER
from kala.drivers.redis_link import Link
from kala.errors import StoreRefused

_log = logging.getLogger(__name__)

OLDEST = 6
"""The first major version with users of their own (ACL), and with a script's effects in the log as one transaction."""


def look_at(link: Link, until: float) -> str:
    """Product and version. Raises `StoreRefused` for a server that cannot be used; what its settings cost is logged."""
    answered, policy = link.ask(["INFO"], ["CONFIG", "GET", "appendfsync"], until=until)
    if isinstance(answered, Exception):
        _log.warning("%s: its settings could not be looked at: INFO is not permitted", link.place)
        return "Redis"
    info = told(answered)
    mode = info.get("redis_mode", "standalone")
    if mode == "cluster":
        raise StoreRefused(f"{link.place}: {CLUSTER}")
    if mode == "sentinel":
        raise StoreRefused(f"{link.place}: it is a Sentinel, which Kala does not use: name the master itself")
    product, version = "Redis", info.get("redis_version", "")
    if info.get("server_name") == "valkey":
        product, version = "Valkey", info.get("valkey_version", version)
    elif (major := re.match(r"\d+", version)) is not None and int(major[0]) < OLDEST:
        raise StoreRefused(f"{link.place}: it is Redis {version}, and Kala needs Redis {OLDEST}.0 or later, or Valkey")
    if info.get("maxmemory_policy", "").startswith("allkeys-"):
        raise StoreRefused(
            f"{link.place}: its maxmemory-policy is {info['maxmemory_policy']}, by which it drops jobs when its memory"
            " is full: set it to noeviction"
        )
    fsync = None if isinstance(policy, Exception) or len(policy) < 2 else policy[1].decode()
    if cost := cost_of(info.get("aof_enabled") == "1", fsync):
        _log.warning("%s: %s", link.place, cost)
    return f"{product} {version}".strip()


def cost_of(logged: bool, fsync: str | None) -> str:
    """What can be lost with the server's settings: `appendonly`, and `appendfsync`, which may not be known."""
    mend = "with `appendonly yes` and `appendfsync always` in its settings nothing is lost"
    if not logged:
        return (
            "appendonly is off: when the server ends, what was written since its last snapshot is lost, or all: jobs,"
            f" claims and results, and runs of that time may run twice; {mend}"
        )
    if fsync is None:
        return (
            "appendfsync could not be looked at, as CONFIG GET is not permitted: if it is not `always`, a loss of power"
            " takes the last second's claims and results with it, and such runs may run twice"
        )
    if fsync == "always":
        return ""
    span = "second" if fsync == "everysec" else "half minute"
    return (
        f"appendfsync is {fsync}: a loss of power takes about the last {span}'s claims and results with it, and such"
        f" runs may run twice; {mend}"
    )


def told(answered: bytes) -> Mapping[str, str]:
    """What INFO says, by name."""
    lines = answered.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))
