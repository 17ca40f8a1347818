"""Keeping HTTP calls out of networks: which addresses are denied, and connecting to those that are not.

A name is resolved once, and what is connected to are the addresses that were looked at: nothing that a name server says
later counts.
"""

import ipaddress
import os
import socket
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import trio

from kala.values import Peers

STAGGER = 0.25  # seconds before the next address is tried beside one that has not answered; RFC 8305, 5
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Target = tuple[socket.AddressFamily, tuple[Any, ...]]
"""The family and the address of a socket."""


def networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


# IANA's registries of special-purpose addresses. Not Python's `is_private`: what that means differs between versions.
PRIVATE_4 = networks(
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
)
PUBLIC_6 = networks("2000::/3", "64:ff9b::/96", "::ffff:0:0/96")  # the last two as far as what is in them is
PRIVATE_6 = networks("2001::/23", "2001:db8::/32", "3fff::/20")
LAST_32 = networks("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
MAPPED, (SIX_TO_FOUR, TEREDO) = LAST_32[1], networks("2002::/16", "2001::/32")
ISATAP = 0x5EFE  # RFC 5214, 6.1: in the middle of the interface's part


class Denied(Exception):
    """A host all addresses of which are denied. `rules` says by which."""

    def __init__(self, rules: Sequence[str]) -> None:
        self.rules = ", ".join(dict.fromkeys(rules))
        super().__init__(self.rules)


class Deny:
    """Networks that are not to be reached, and the word `private` for all that is not public."""

    def __init__(self, rules: Sequence[Peers] = ()) -> None:
        self._rules = [(str(rule), rule if isinstance(rule, str) else unmapped(rule)) for rule in rules]

    def __bool__(self) -> bool:
        return bool(self._rules)

    def rule(self, text: str) -> str:
        """The rule that denies an address; empty when none does. IPv4 in IPv6 counts as what it leads to, too."""
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:  # nothing that we know to be allowed
            return self._rules[0][0] if self._rules else ""
        for name, rule in self._rules:
            for one in (address, *embedded(address)):
                if is_private(one) if isinstance(rule, str) else one in rule:
                    return name
        return ""


def unmapped(network: Network) -> Network:
    """IPv4 that was written as IPv6 (`::ffff:10.0.0.0/104`), as such."""
    if network.network_address not in MAPPED or network.prefixlen < MAPPED.prefixlen:
        return network
    return ipaddress.ip_network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - MAPPED.prefixlen))


def is_private(address: Address) -> bool:
    """Whether it is for no more than a part of the Internet, or for no single host."""
    if address.version == 4:
        return any(address in network for network in PRIVATE_4)
    return not any(address in network for network in PUBLIC_6) or any(address in network for network in PRIVATE_6)


def embedded(address: Address) -> Iterator[Address]:
    """The IPv4 addresses that an IPv6 address leads to, or by."""
    bits = int(address)
    if address.version == 4:
        return
    if any(address in network for network in LAST_32) or (bits >> 32) & 0xFCFFFFFF == ISATAP:
        yield ipaddress.IPv4Address(bits & 0xFFFFFFFF)
    if address in SIX_TO_FOUR:
        yield ipaddress.IPv4Address(bits >> 80 & 0xFFFFFFFF)
    if address in TEREDO:
        yield ipaddress.IPv4Address(bits >> 64 & 0xFFFFFFFF)
        yield ipaddress.IPv4Address(bits & 0xFFFFFFFF ^ 0xFFFFFFFF)


async def open_allowed(host: str, port: int, deny: Deny) -> socket.socket:
    """A connection to one of a host's addresses that are not denied. Raises Denied when there is none, and OSError."""
    rules, targets = [], []
    for family, target in await addresses(host, port):
        if rule := deny.rule(str(target[0])):
            rules.append(rule)
        else:
            targets.append((family, target))
    if not targets:
        raise Denied(rules)
    # Without the nursery in which several are tried, where there is one.
    sock = await (first_connected(in_turn(targets)) if len(targets) > 1 else connected(*targets[0]))
    try:
        if deny and (rule := deny.rule(str(sock.getpeername()[0]))):
            raise Denied([rule])
    except BaseException:
        sock.close()
        raise
    return sock


async def addresses(host: str, port: int) -> list[Target]:
    """Of a host, which may be one already: that needs no thread to ask a name server in."""
    if (family := address_family(host)) is not None:
        return [(family, (host, port))]
    found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, target) for family, _, _, _, target in found]


@lru_cache(maxsize=1024)
def address_family(host: str) -> socket.AddressFamily | None:
    """None for a name."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return socket.AF_INET if version == 4 else socket.AF_INET6


def in_turn(targets: Sequence[Target]) -> list[Target]:
    """The same, with the first one of another family as the second: a family that leads nowhere costs one try."""
    other = next((one for one in targets if one[0] != targets[0][0]), None)
    if other is None:
        return list(targets)
    return [targets[0], other, *[one for one in targets[1:] if one is not other]]


async def first_connected(targets: Sequence[Target]) -> socket.socket:
    """Connects to the first that can be: they are tried in order, the next one when one has failed, or `STAGGER`
    seconds later beside it. Raises OSError, of the first, when none can be."""
    winner: socket.socket | None = None
    errors: list[OSError] = []

    async def attempt(family: socket.AddressFamily, target: tuple[Any, ...], failed: trio.Event) -> None:
        nonlocal winner
        try:
            sock = await connected(family, target)
        except OSError as error:
            errors.append(error)
            failed.set()
            return
        if winner is None:
            winner = sock
            nursery.cancel_scope.cancel()
        else:
            sock.close()

    try:
        async with trio.open_nursery() as nursery:
            for family, target in targets:
                failed = trio.Event()
                nursery.start_soon(attempt, family, target, failed)
                with trio.move_on_after(STAGGER):
                    await failed.wait()
    except BaseException:
        if winner is not None:
            winner.close()
        raise
    if winner is None:
        raise errors[0]
    return winner


async def connected(family: socket.AddressFamily, target: tuple[Any, ...]) -> socket.socket:
    """A socket that never blocks. One to this host is connected at once, without waiting for Trio's next round, so that
    its caller can go on."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.connect(target)
        except BlockingIOError:
            await wait_connected(sock)
    except BaseException:
        sock.close()
        raise
    return sock


async def wait_connected(sock: socket.socket) -> None:
    """Raises OSError."""
    try:
        sock.getpeername()
    except OSError:
        await trio.lowlevel.wait_writable(sock)
        if fault := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(fault, os.strerror(fault)) from None
